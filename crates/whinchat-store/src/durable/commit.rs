//! One commit: everything that was appended meanwhile, written and synced once.

use std::{io, sync::Arc, time::Instant};

use parking_lot::Mutex;

use crate::{LogFailure, disk::write_all};

use super::{
    place::Chunk,
    segment::{HEADER_BYTES, Stamp, seal},
    segments::{LogFile, Segments},
};

/// Whoever commits; one at a time.
#[derive(Default)]
pub(crate) struct Writer {
    /// The segment that was written to last.
    current: Option<(Stamp, LogFile)>,
    /// Since when it has bytes that are not synced.
    unsynced_since: Option<Instant>,
}

/// Why a commit did not happen.
#[derive(Debug)]
pub(crate) enum NotCommitted {
    /// The disk has no room for the next segment. Nothing of its groups was written; the same chunks may be tried again.
    Full,
    Failed(LogFailure),
}

impl Writer {
    /// Writes these chunks, in order. With `sync`, they are safe when it returns.
    ///
    /// Chunks that were written are emptied, so that a second try goes on with the others.
    pub(crate) fn write(
        &mut self,
        segments: &Mutex<Segments>,
        chunks: &mut [Chunk],
        sync: bool,
    ) -> Result<(), NotCommitted> {
        for chunk in chunks.iter_mut().filter(|chunk| !chunk.bytes.is_empty()) {
            if chunk.offset == HEADER_BYTES {
                self.begin(segments, chunk)?;
            }
            let (stamp, file) = self
                .current
                .as_ref()
                .expect("the first chunk of a log begins a segment");
            debug_assert_eq!(stamp.epoch, chunk.epoch);
            seal(&mut chunk.bytes, *stamp);
            self.unsynced_since.get_or_insert_with(Instant::now);
            write_all(&*file.file, &chunk.bytes, chunk.offset)
                .map_err(|error| failed(segments, file, "write", chunk.offset, error))?;
            chunk.bytes.clear();
        }
        if sync { self.sync(segments) } else { Ok(()) }
    }

    /// Since when there are bytes that are written and not synced.
    pub(crate) fn unsynced_since(&self) -> Option<Instant> {
        self.unsynced_since
    }

    /// Makes what was written safe.
    pub(crate) fn sync(&mut self, segments: &Mutex<Segments>) -> Result<(), NotCommitted> {
        if let Some((_, file)) = &self.current
            && self.unsynced_since.is_some()
        {
            file.file
                .sync()
                .map_err(|error| failed(segments, file, "sync", 0, error))?;
            self.unsynced_since = None;
        }
        Ok(())
    }

    fn begin(&mut self, segments: &Mutex<Segments>, chunk: &Chunk) -> Result<(), NotCommitted> {
        // The header of the next segment vouches for all of this one.
        if !planted!(SegmentBeginsEarly) {
            self.sync(segments)?;
        }
        let begun = segments
            .lock()
            .begin(chunk.epoch, chunk.first_sequence, chunk.segment_size);
        match begun {
            Ok(begun) => {
                self.current = Some(begun);
                Ok(())
            }
            Err(error) if is_full(&error) => Err(NotCommitted::Full),
            Err(error) => Err(NotCommitted::Failed(LogFailure {
                operation: "begin",
                offset: 0,
                name: Arc::from(format!("segment {}", chunk.epoch)),
                error: Arc::new(error),
            })),
        }
    }
}

pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

fn failed(
    segments: &Mutex<Segments>,
    file: &LogFile,
    operation: &'static str,
    offset: u64,
    error: io::Error,
) -> NotCommitted {
    NotCommitted::Failed(LogFailure {
        operation,
        offset,
        name: segments.lock().describe(file),
        error: Arc::new(error),
    })
}
