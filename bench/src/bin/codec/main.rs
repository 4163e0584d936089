//! Time per packet of our codec and of others, in turn: what else the machine does disturbs all alike.
//!
//! Everybody reads the same bytes, a thousand packets behind each other, and writes the packet that it has read; what
//! it writes has to be the same bytes again, but for the order of properties. Prints JSON for the page of performance.

mod contenders;
mod packets;

use std::time::Instant;

use contenders::{Codec, codecs};
use packets::PACKETS;

/// Packets of one measurement.
const BATCH: usize = 1_000;
/// Measurements of each codec and packet, of which the median counts.
const ROUNDS: usize = 200;

struct Row {
    packet: &'static str,
    codec: &'static str,
    decode_ns: f64,
    encode_ns: f64,
}

fn main() {
    let mut rows = Vec::new();
    for (name, make) in PACKETS {
        let sample = make(BATCH);
        let mut codecs: Vec<Box<dyn Codec>> = codecs(&sample);
        let mut times = vec![(Vec::new(), Vec::new()); codecs.len()];
        for _ in 0..ROUNDS {
            for (codec, (decode, encode)) in codecs.iter_mut().zip(&mut times) {
                codec.prepare(&sample);
                let start = Instant::now();
                codec.decode_all(&sample);
                decode.push(start.elapsed().as_nanos() as f64 / BATCH as f64);
                let start = Instant::now();
                codec.encode_all(BATCH);
                encode.push(start.elapsed().as_nanos() as f64 / BATCH as f64);
                codec.check(&sample);
            }
        }
        for (codec, (decode, encode)) in codecs.iter().zip(&mut times) {
            rows.push(Row {
                packet: name,
                codec: codec.name(),
                decode_ns: median(decode),
                encode_ns: median(encode),
            });
        }
    }
    print(&rows);
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn print(rows: &[Row]) {
    let lines: Vec<String> = rows
        .iter()
        .map(|row| {
            format!(
                "  {{\"packet\": {:?}, \"codec\": {:?}, \"decode_ns\": {:.1}, \"encode_ns\": {:.1}}}",
                row.packet, row.codec, row.decode_ns, row.encode_ns
            )
        })
        .collect();
    println!("[\n{}\n]", lines.join(",\n"));
}
