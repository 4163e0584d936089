//! The framing of records.

use proptest::prelude::*;
use whinchat_store::{RecordError, RecordKind, record, record::Cut};

type Written = (u8, bool, u8, u16, Vec<u8>);

fn kind(number: u8, required: bool) -> RecordKind {
    if required {
        RecordKind::required(number)
    } else {
        RecordKind::optional(number)
    }
}

fn group(records: &[Written]) -> Vec<u8> {
    let mut group = Vec::new();
    for (number, required, version, partition, body) in records {
        record::write(
            &mut group,
            kind(*number, *required),
            *version,
            *partition,
            |out| out.extend(body),
        );
    }
    group
}

fn records() -> impl Strategy<Value = Vec<Written>> {
    let body = prop::collection::vec(any::<u8>(), 0..50);
    prop::collection::vec(
        (0_u8..128, any::<bool>(), any::<u8>(), any::<u16>(), body),
        0..10,
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(records in records()) {
        let group = group(&records);
        let read: Vec<Written> = record::read(&group)
            .map(|record| record.unwrap())
            .map(|r| (r.kind.number(), r.kind.must_understand(), r.version, r.partition, r.body.to_vec()))
            .collect();
        prop_assert_eq!(read, records);
    }

    #[test]
    fn a_cut_group_gives_the_whole_records_and_then_one_error(records in records(), cut: prop::sample::Index) {
        let whole = group(&records);
        let bytes = &whole[..cut.index(whole.len() + 1)];
        let read: Vec<_> = record::read(bytes).collect();
        let good = read.iter().filter(|record| record.is_ok()).count();
        let ends = group(&records[..good]).len();
        prop_assert_eq!(read.len() - good, usize::from(ends < bytes.len()));
        if let Some(Err(error)) = read.last() {
            prop_assert_eq!(error.position, ends);
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        record::read(&bytes).for_each(drop);
    }
}

#[test]
fn a_length_that_no_writer_produces_is_an_error() {
    let bytes = [0xFF, 0xFF, 0xFF, 0xFF, 1, 1, 0, 0];
    let error: RecordError = record::read(&bytes).next().unwrap().unwrap_err();
    assert_eq!(error.cut, Cut::Length);
    assert_eq!(
        error.to_string(),
        "record at byte 0: declares a body above 1073741824 bytes"
    );
}
