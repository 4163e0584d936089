//! Pictures of the page, as SVG.

use std::error::Error;
use std::ops::Range;

use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::*;

use super::section::{Chart, ChartKind, Series, X, short};

const SIZE: (u32, u32) = (860, 420);
const FONT: &str = "sans-serif";

/// Dark enough on white, and told apart by those who see few colours.
const COLORS: [RGBColor; 6] = [
    RGBColor(0, 90, 160),
    RGBColor(213, 94, 0),
    RGBColor(0, 140, 105),
    RGBColor(170, 80, 150),
    RGBColor(120, 120, 120),
    RGBColor(200, 150, 0),
];

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// # Errors
/// A series has no point, or a label where a number is needed.
pub(super) fn draw(chart: &Chart) -> Result<String, Box<dyn Error>> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        match chart.kind {
            ChartKind::Lines => lines(chart, &area)?,
            ChartKind::Bars => bars(chart, &area)?,
        }
        area.present()?;
    }
    Ok(svg)
}

fn lines(chart: &Chart, area: &Area<'_>) -> Result<(), Box<dyn Error>> {
    let mut series = Vec::new();
    for Series { name, points } in &chart.series {
        let mut numbers = Vec::new();
        for (x, y) in points {
            let X::Number(x) = x else {
                return Err(format!("{}: a line needs numbers, not {x:?}", chart.file).into());
            };
            numbers.push((*x, *y));
        }
        series.push((name, numbers));
    }
    let all = || series.iter().flat_map(|(_, numbers)| numbers);
    let x = bounds(all().map(|point| point.0), chart.log_x, &chart.file)?;
    let y = bounds(all().map(|point| point.1), chart.log_y, &chart.file)?;
    match (chart.log_x, chart.log_y) {
        (true, true) => plot(chart, area, &series, x.log_scale(), y.log_scale()),
        (true, false) => plot(chart, area, &series, x.log_scale(), y),
        (false, true) => plot(chart, area, &series, x, y.log_scale()),
        (false, false) => plot(chart, area, &series, x, y),
    }
}

fn plot<XS, YS>(
    chart: &Chart,
    area: &Area<'_>,
    series: &[(&String, Vec<(f64, f64)>)],
    x: XS,
    y: YS,
) -> Result<(), Box<dyn Error>>
where
    XS: AsRangedCoord<Value = f64>,
    YS: AsRangedCoord<Value = f64>,
    XS::CoordDescType: ValueFormatter<f64>,
    YS::CoordDescType: ValueFormatter<f64>,
{
    let mut plane = ChartBuilder::on(area)
        .caption(&chart.title, (FONT, 20))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(76)
        .build_cartesian_2d(x, y)?;
    plane
        .configure_mesh()
        .x_desc(&chart.x_label)
        .y_desc(&chart.y_label)
        .x_label_formatter(&|value| short_label(*value))
        .y_label_formatter(&|value| short_label(*value))
        .draw()?;
    for ((name, points), color) in series.iter().zip(COLORS.iter().cycle()) {
        let style = color.stroke_width(2);
        plane
            .draw_series(LineSeries::new(points.clone(), style).point_size(3))?
            .label(name.as_str())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
    }
    legend(&mut plane)
}

fn bars(chart: &Chart, area: &Area<'_>) -> Result<(), Box<dyn Error>> {
    let mut labels: Vec<String> = Vec::new();
    for (x, _) in chart.series.iter().flat_map(|series| &series.points) {
        let label = text(x);
        if !labels.contains(&label) {
            labels.push(label);
        }
    }
    let values = chart.series.iter().flat_map(|series| &series.points);
    let y = bounds(values.map(|point| point.1), chart.log_y, &chart.file)?;
    let base = y.start;
    let x = -0.5..(labels.len() as f64 - 0.5);
    if chart.log_y {
        bars_on(chart, area, &labels, x, y.log_scale(), base)
    } else {
        bars_on(chart, area, &labels, x, y, base)
    }
}

fn bars_on<YS>(
    chart: &Chart,
    area: &Area<'_>,
    labels: &[String],
    x: Range<f64>,
    y: YS,
    base: f64,
) -> Result<(), Box<dyn Error>>
where
    YS: AsRangedCoord<Value = f64>,
    YS::CoordDescType: ValueFormatter<f64>,
{
    let mut plane = ChartBuilder::on(area)
        .caption(&chart.title, (FONT, 20))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(76)
        .build_cartesian_2d(x, y)?;
    plane
        .configure_mesh()
        .disable_x_mesh()
        .x_desc(&chart.x_label)
        .y_desc(&chart.y_label)
        .x_labels(labels.len() * 2 + 1)
        .x_label_formatter(&|at| {
            let is_middle = (at - at.round()).abs() < 1e-6 && *at > -0.5;
            let label = labels.get(at.round().max(0.0) as usize);
            label.filter(|_| is_middle).cloned().unwrap_or_default()
        })
        .y_label_formatter(&|value| short_label(*value))
        .draw()?;
    let width = 0.8 / chart.series.len().max(1) as f64;
    for (index, (series, color)) in chart.series.iter().zip(COLORS.iter().cycle()).enumerate() {
        let rectangles = series.points.iter().filter_map(|(x, value)| {
            let place = labels.iter().position(|label| *label == text(x))?;
            let left = place as f64 - 0.4 + index as f64 * width;
            Some(Rectangle::new(
                [(left, base), (left + width * 0.9, *value)],
                color.filled(),
            ))
        });
        plane
            .draw_series(rectangles)?
            .label(series.name.as_str())
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 18, y + 5)], color.filled()));
    }
    legend(&mut plane)
}

fn legend<'a, 'b: 'a, XS, YS>(
    plane: &mut ChartContext<'a, SVGBackend<'b>, Cartesian2d<XS, YS>>,
) -> Result<(), Box<dyn Error>>
where
    XS: Ranged<ValueType = f64>,
    YS: Ranged<ValueType = f64>,
{
    plane
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.85))
        .border_style(BLACK.mix(0.3))
        .label_font((FONT, 13))
        .draw()?;
    Ok(())
}

/// What the axis covers: from 0 if it counts evenly, else a little more than the values; with room for the legend above.
fn bounds(
    values: impl Iterator<Item = f64>,
    is_log: bool,
    file: &str,
) -> Result<Range<f64>, Box<dyn Error>> {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    if !low.is_finite() || !high.is_finite() || (is_log && low <= 0.0) {
        return Err(format!("{file}: there is nothing that can be drawn").into());
    }
    Ok(if is_log {
        low * 0.7..high * 5.0
    } else {
        0.0_f64.min(low)..(high * 1.3).max(f64::MIN_POSITIVE)
    })
}

fn text(x: &X) -> String {
    match x {
        X::Number(number) => short_label(*number),
        X::Label(label) => label.clone(),
    }
}

/// 1,000,000 as 1M: an axis has little room.
fn short_label(value: f64) -> String {
    let size = value.abs();
    let (shown, unit) = if size >= 1e6 {
        (value / 1e6, "M")
    } else if size >= 1e3 {
        (value / 1e3, "k")
    } else {
        (value, "")
    };
    let digits = short(shown);
    let digits = if digits.contains('.') {
        digits.trim_end_matches('0').trim_end_matches('.')
    } else {
        &digits
    };
    format!("{digits}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(kind: ChartKind, points: Vec<(X, f64)>) -> Chart {
        Chart {
            file: "one".into(),
            title: "One".into(),
            kind,
            x_label: "n".into(),
            y_label: "us".into(),
            log_x: false,
            log_y: false,
            series: vec![Series {
                name: "whinchat".into(),
                points,
            }],
        }
    }

    #[test]
    fn a_picture_names_its_series_and_axes() {
        let points = vec![(X::Number(1.0), 2.0), (X::Number(1_000.0), 3.0)];
        for is_log in [false, true] {
            let mut chart = chart(ChartKind::Lines, points.clone());
            (chart.log_x, chart.log_y) = (is_log, is_log);
            let svg = draw(&chart).unwrap();
            for part in ["<svg", "whinchat", "One", "us", "1k"] {
                assert!(svg.contains(part), "{part} is not in {svg}");
            }
        }
        let bars = vec![
            (X::Label("QoS 0".into()), 2.0),
            (X::Label("QoS 1".into()), 3.0),
        ];
        let svg = draw(&chart(ChartKind::Bars, bars)).unwrap();
        assert!(svg.contains("QoS 0") && svg.contains("QoS 1"), "{svg}");
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        assert!(draw(&chart(ChartKind::Lines, Vec::new())).is_err());
        let label = vec![(X::Label("a".into()), 1.0)];
        assert!(draw(&chart(ChartKind::Lines, label)).is_err());
        let mut log = chart(ChartKind::Lines, vec![(X::Number(1.0), 0.0)]);
        log.log_y = true;
        assert!(draw(&log).is_err());
    }
}
