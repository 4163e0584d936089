//! The cases that follow from the golden vectors: more than a million, judged in seconds.
//!
//! From each vector come every prefix, each length field changed by one and to both ends of its range, each of the 256
//! first bytes, and each bit of the rest turned over. [`judge`] says what must hold for any bytes; here stands what
//! must hold because of where they come from. T-04, T-05, T-06
//!
//! Read first: `testdata/README.md`, which has the vectors.
#![expect(
    clippy::unwrap_used,
    reason = "a vector that cannot be read fails its test"
)]

mod fields;
mod judge;

use std::fmt::Arguments;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;

use whinchat_codec::{DecodeLimits, PacketType, ProtocolVersion, decode};

use self::fields::{Kind, LengthField, length_fields, variable_byte_integer};
use self::judge::{Decoded, Judge};
use crate::golden::vector::{self, Outcome, Vector};

/// Fewer would mean that a kind of case is no longer made.
const CASES_MIN: usize = 1_000_000;

/// The vectors of more bytes, long for the sake of one length, are read by the rules of their own version only, cut
/// and changed at their ends, and not with other first bytes and bits.
const SHORT: usize = 4096;
const ENDS: usize = 16;

#[test]
fn a_million_cases_derived_from_the_vectors_hold_what_any_bytes_must() {
    let vectors = vector::all();
    let threads = thread::available_parallelism().map_or(2, usize::from);
    let counts = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|first| {
                let vectors = &vectors;
                scope.spawn(move || {
                    let mut counts = Counts::default();
                    for vector in vectors.iter().skip(first).step_by(threads) {
                        derive(vector, &mut counts);
                    }
                    counts
                })
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic)))
            .fold(Counts::default(), Counts::plus)
    });
    println!("{counts:?}: {} cases", counts.all());
    assert!(counts.all() >= CASES_MIN, "{counts:?}");
}

#[derive(Debug, Default)]
struct Counts {
    prefixes: usize,
    lengths: usize,
    first_bytes: usize,
    bits: usize,
    packets: usize,
}

impl Counts {
    fn all(&self) -> usize {
        self.prefixes + self.lengths + self.first_bytes + self.bits
    }

    fn plus(self, other: Self) -> Self {
        Self {
            prefixes: self.prefixes + other.prefixes,
            lengths: self.lengths + other.lengths,
            first_bytes: self.first_bytes + other.first_bytes,
            bits: self.bits + other.bits,
            packets: self.packets + other.packets,
        }
    }
}

fn derive(vector: &Vector, counts: &mut Counts) {
    let mut derivation = Derivation {
        vector,
        judge: Judge::default(),
        packets: 0,
    };
    derivation.prefixes();
    counts.prefixes += derivation.take_cases();
    derivation.lengths();
    counts.lengths += derivation.take_cases();
    if derivation.is_short() {
        derivation.first_bytes();
        counts.first_bytes += derivation.take_cases();
        derivation.bits();
        counts.bits += derivation.take_cases();
    }
    counts.packets += derivation.packets;
}

struct Derivation<'v> {
    vector: &'v Vector,
    judge: Judge,
    /// Cases that are packets.
    packets: usize,
}

impl Derivation<'_> {
    fn take_cases(&mut self) -> usize {
        std::mem::take(&mut self.judge.cases)
    }

    /// Judges one case, and names it if it fails.
    fn case<'b>(
        &mut self,
        what: Arguments<'_>,
        bytes: &'b [u8],
        version: ProtocolVersion,
    ) -> Decoded<'b> {
        let limits = &self.vector.limits;
        let judged = catch_unwind(AssertUnwindSafe(|| {
            self.judge.decode(bytes, version, limits)
        }));
        let Ok(decoded) = judged else {
            self.fail(what, bytes, version)
        };
        self.packets += usize::from(matches!(decoded, Ok(Some(_))));
        decoded
    }

    fn fail(&self, what: Arguments<'_>, bytes: &[u8], version: ProtocolVersion) -> ! {
        let start = &bytes[..bytes.len().min(64)];
        panic!("{}: {what} in {version}: {start:02x?}", self.vector.name())
    }

    // T-05
    fn prefixes(&mut self) {
        let bytes = &self.vector.bytes[..];
        let (own, is_short) = (self.vector.version, self.is_short());
        for version in ProtocolVersion::ALL {
            if !is_short && version != own {
                continue;
            }
            let whole = decode(bytes, version, &self.vector.limits);
            for end in ends(bytes.len(), is_short) {
                let part = &bytes[..end];
                let decoded = self.case(format_args!("cut at {end}"), part, version);
                let is_allowed = match (&decoded, &whole) {
                    (Ok(None), _) => true,
                    // An invalid vector may be refused at its header, with the error that all of it has.
                    (Err(early), Err(late)) => early == late,
                    // Read by the rules of another version it may be shorter than it is here.
                    (Ok(Some((_, used))), Ok(Some((_, whole)))) => used == whole && *used <= end,
                    (Ok(Some(_)) | Err(_), _) => false,
                };
                if !is_allowed {
                    self.fail(format_args!("cut at {end}, {decoded:?}"), part, version);
                }
            }
        }
    }

    // T-04
    fn lengths(&mut self) {
        let version = self.vector.version;
        let fields = length_fields(&self.vector.bytes, version);
        for at in ends(fields.len(), self.is_short()) {
            let field = fields[at];
            let LengthField { kind, value, .. } = field;
            let values = [
                value.checked_sub(1),
                value.checked_add(1).filter(|value| *value <= kind.max()),
                Some(0),
                Some(kind.max()),
            ];
            for changed in values.into_iter().flatten() {
                if changed == value {
                    continue;
                }
                let bytes = with_length(&self.vector.bytes, field, changed);
                self.length(field, changed, &bytes);
                // With what the longer packet lacks, so that it is whole.
                if kind == Kind::Remaining && changed == value.saturating_add(1) {
                    for last in [0x00, 0x01, 0x61, 0xff] {
                        self.length(field, changed, &[&bytes[..], &[last]].concat());
                    }
                }
            }
        }
    }

    /// A length that was changed never leaves the packet what it was, and one that runs past its end is refused.
    fn length(&mut self, field: LengthField, changed: u32, bytes: &[u8]) {
        let version = self.vector.version;
        let decoded = self.case(format_args!("{field:?} is {changed}"), bytes, version);
        let Outcome::Value { .. } = self.vector.outcome else {
            return;
        };
        let original = decode(&self.vector.bytes, version, &self.vector.limits);
        let (original, _) = original.unwrap().unwrap();
        match decoded {
            Ok(Some((packet, _))) => {
                // The last fields of these may be left out when they say nothing: another length, the same packet.
                let has_short_forms = version.is_v5()
                    && matches!(
                        packet.packet_type(),
                        PacketType::PubAck
                            | PacketType::PubRec
                            | PacketType::PubRel
                            | PacketType::PubComp
                            | PacketType::Disconnect
                            | PacketType::Auth
                    );
                let may_be_same = has_short_forms && field.kind == Kind::Remaining;
                if packet == original && !may_be_same {
                    self.fail(
                        format_args!("{field:?} is {changed}, and nothing is different"),
                        bytes,
                        version,
                    );
                }
                if changed == field.kind.max() && self.vector.bytes.len() < changed as usize {
                    self.fail(
                        format_args!("{field:?} is {changed}, accepted"),
                        bytes,
                        version,
                    );
                }
            }
            // Only a packet that is declared to be longer can lack something.
            Ok(None) => {
                if field.kind != Kind::Remaining || changed < field.value {
                    self.fail(
                        format_args!("{field:?} is {changed}, incomplete"),
                        bytes,
                        version,
                    );
                }
            }
            Err(error) => {
                let has_limits = self.vector.limits != DecodeLimits::default();
                // Bytes that are taken for other fields than they are can break any rule; what runs out is malformed.
                let overruns =
                    changed == field.kind.max() && self.vector.bytes.len() < changed as usize;
                if overruns && !has_limits && error.reason().code() != 0x81 {
                    self.fail(
                        format_args!("{field:?} is {changed}, {error}"),
                        bytes,
                        version,
                    );
                }
            }
        }
    }

    fn first_bytes(&mut self) {
        let mut bytes = self.vector.bytes.clone();
        for version in ProtocolVersion::ALL {
            for first in 0..=u8::MAX {
                let Some(place) = bytes.first_mut() else {
                    return;
                };
                *place = first;
                let decoded = self.case(format_args!("first byte {first:#04x}"), &bytes, version);
                if let Ok(Some((packet, _))) = decoded
                    && PacketType::from_number(first >> 4) != Some(packet.packet_type())
                {
                    self.fail(
                        format_args!("read as {}", packet.packet_type()),
                        &bytes,
                        version,
                    );
                }
            }
        }
    }

    fn bits(&mut self) {
        let mut bytes = self.vector.bytes.clone();
        for version in ProtocolVersion::ALL {
            for at in 1..bytes.len() {
                for bit in 0..8 {
                    bytes[at] ^= 1 << bit;
                    let _ = self.case(format_args!("bit {bit} of byte {at}"), &bytes, version);
                    bytes[at] ^= 1 << bit;
                }
            }
        }
    }

    fn is_short(&self) -> bool {
        self.vector.bytes.len() <= SHORT
    }
}

/// The bytes with this value in this field, and the Remaining Length right where the field takes another number of bytes.
fn with_length(bytes: &[u8], field: LengthField, value: u32) -> Vec<u8> {
    let written = field.kind.written(value);
    let (before, rest) = bytes.split_at(field.at);
    let changed = [before, &written, &rest[field.width..]].concat();
    if field.kind == Kind::Remaining || written.len() == field.width {
        return changed;
    }
    let remaining = length_fields(bytes, ProtocolVersion::V311)[0];
    let behind = changed.len() - remaining.at - remaining.width;
    let grown = variable_byte_integer(u32::try_from(behind).unwrap());
    let (first, rest) = changed.split_at(remaining.at);
    [first, &grown, &rest[remaining.width..]].concat()
}

/// Every place, or those at both ends.
fn ends(len: usize, all: bool) -> impl Iterator<Item = usize> {
    (0..len).filter(move |at| all || *at < ENDS || *at + ENDS > len)
}
