//! A disk in memory that can fail, fill up, hold its breath and lose power.
//!
//! It remembers every operation in order. After any of them the power may go: what was synced is there, and of the rest nothing, everything, or any mixture
//! of 512-byte sectors, as a real disk may leave it. [`SimulatedDisk::crashes`] walks through all these moments.

use std::{collections::BTreeMap, io, sync::Arc};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::{Disk, DiskFile, Volume};

/// What a disk writes whole or not at all, in bytes.
const SECTOR_BYTES: usize = 512;

/// A disk in memory. A clone is the same disk.
#[derive(Clone, Default)]
pub struct SimulatedDisk(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    gate: Mutex<Gate>,
    opened: Condvar,
}

#[derive(Default)]
struct Gate {
    held: bool,
    /// Syncs that wait.
    waiting: usize,
}

#[derive(Default)]
struct State {
    now: Image,
    /// What a crash at this moment is sure to leave behind is in `now` at the start, and follows from these.
    start: Image,
    operations: Vec<Operation>,
    faults: Vec<Fault>,
    capacity_bytes: Option<u64>,
    short_writes: bool,
}

/// Files by name, and their bytes by number: a file without a name may still be written.
#[derive(Clone, Default)]
struct Image {
    names: BTreeMap<String, usize>,
    files: Vec<Vec<u8>>,
}

#[derive(Clone)]
enum Operation {
    Create {
        name: String,
        file: usize,
    },
    Remove {
        name: String,
    },
    SyncNames,
    Write {
        file: usize,
        offset: u64,
        bytes: Vec<u8>,
    },
    Sync {
        file: usize,
    },
}

/// A call that fails, counted from when it was planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The write after this many others answers EIO; a part of it may have reached the disk.
    Write(u32),
    /// The sync after this many others answers EIO, and what it was to make safe is lost.
    Sync(u32),
    /// The creation of a file after this many others answers EIO.
    Create(u32),
    /// The read after this many others answers EIO.
    Read(u32),
}

/// What a loss of power leaves of that which was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// Nothing.
    Nothing,
    /// Everything, as if it had been synced.
    Everything,
    /// Some sectors and some names, chosen from this seed.
    Mixture(u64),
}

impl SimulatedDisk {
    /// An empty disk without limits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock()
    }

    /// Plans a failure.
    pub fn plan(&self, fault: Fault) {
        self.state().faults.push(fault);
    }

    /// Lets each write take at most half of what it is given, or all again.
    pub fn set_short_writes(&self, short: bool) {
        self.state().short_writes = short;
    }

    /// Bounds the bytes of all files; beyond it writes answer that the disk is full.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity_bytes = bytes;
    }

    /// Bytes of all files that have a name.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.state().now.used_bytes()
    }

    /// Lets syncs wait until they are released.
    pub fn hold_syncs(&self) {
        self.0.gate.lock().held = true;
    }

    /// Lets the waiting syncs and all later ones go on.
    pub fn release_syncs(&self) {
        self.0.gate.lock().held = false;
        self.0.opened.notify_all();
    }

    /// Returns when a sync waits.
    pub fn wait_for_sync(&self) {
        let mut gate = self.0.gate.lock();
        while gate.waiting == 0 {
            self.0.opened.wait(&mut gate);
        }
    }

    /// How many operations changed the disk so far.
    #[must_use]
    pub fn operations(&self) -> usize {
        self.state().operations.len()
    }

    /// Changes a byte behind everyone's back, as a failing disk does.
    ///
    /// # Panics
    /// If there is no such file or byte.
    pub fn flip(&self, name: &str, offset: usize, mask: u8) {
        let mut state = self.state();
        let file = state.now.names[name];
        state.now.files[file][offset] ^= mask;
        let image = state.now.clone();
        state.start = image;
        state.operations.clear();
    }

    /// What the disk holds now, as a disk of its own without a past.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self::with_image(self.state().now.clone())
    }

    fn with_image(image: Image) -> Self {
        let disk = Self::new();
        {
            let mut state = disk.state();
            state.start = image.clone();
            state.now = image;
        }
        disk
    }

    /// Calls `visit` for each moment at which the power may go, in order: with the number of operations that were done, and a way to make
    /// the disk that is left.
    pub fn crashes(&self, mut visit: impl FnMut(usize, &dyn Fn(Crash) -> Self)) {
        self.moments(|moment| visit(moment.operations, &|crash| moment.after(crash)));
    }

    /// Calls `visit` for each moment at which the power may go, in order.
    pub fn moments(&self, mut visit: impl FnMut(&Moment<'_>)) {
        let (start, operations) = {
            let state = self.state();
            (state.start.clone(), state.operations.clone())
        };
        let mut remains = Remains {
            safe: start,
            unsynced: Vec::new(),
        };
        let mut done = 0;
        for operation in operations {
            visit(&Moment {
                operations: done,
                remains: &remains,
            });
            remains.take(operation);
            done += 1;
        }
        visit(&Moment {
            operations: done,
            remains: &remains,
        });
    }
}

/// A moment at which the power may go.
pub struct Moment<'a> {
    operations: usize,
    remains: &'a Remains,
}

impl Moment<'_> {
    /// How many operations were done.
    #[must_use]
    pub fn operations(&self) -> usize {
        self.operations
    }

    /// Whether all is safe, so that each crash leaves the same.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        self.remains.unsynced.is_empty()
    }

    /// The disk that is left.
    #[must_use]
    pub fn after(&self, crash: Crash) -> SimulatedDisk {
        SimulatedDisk::with_image(self.remains.after(crash))
    }
}

/// What is safe, and what is not yet.
struct Remains {
    safe: Image,
    unsynced: Vec<Operation>,
}

impl Remains {
    fn take(&mut self, operation: Operation) {
        match operation {
            Operation::Sync { file } => self.settle(
                |pending| matches!(pending, Operation::Write { file: of, .. } if *of == file),
            ),
            Operation::SyncNames => self.settle(|pending| {
                matches!(pending, Operation::Create { .. } | Operation::Remove { .. })
            }),
            Operation::Create { file, .. } => {
                // The bytes of a file may be safe before its name is.
                let files = &mut self.safe.files;
                files.resize_with(files.len().max(file + 1), Vec::new);
                self.unsynced.push(operation);
            }
            Operation::Write { .. } | Operation::Remove { .. } => self.unsynced.push(operation),
        }
    }

    fn settle(&mut self, is_meant: impl Fn(&Operation) -> bool) {
        for operation in std::mem::take(&mut self.unsynced) {
            if is_meant(&operation) {
                self.safe.apply(&operation, |_| true);
            } else {
                self.unsynced.push(operation);
            }
        }
    }

    fn after(&self, crash: Crash) -> Image {
        let mut image = self.safe.clone();
        match crash {
            Crash::Nothing => {}
            Crash::Everything => {
                for operation in &self.unsynced {
                    image.apply(operation, |_| true);
                }
            }
            Crash::Mixture(seed) => {
                let mut random = fastrand::Rng::with_seed(seed);
                let mut names_go_on = true;
                for operation in &self.unsynced {
                    match operation {
                        Operation::Write { .. } => image.apply(operation, |_| random.bool()),
                        // The names of a folder come in order, however many of them.
                        Operation::Create { .. }
                        | Operation::Remove { .. }
                        | Operation::SyncNames
                        | Operation::Sync { .. } => {
                            names_go_on &= random.u8(..4) > 0;
                            image.apply(operation, |_| names_go_on);
                        }
                    }
                }
            }
        }
        image
    }
}

impl Image {
    fn used_bytes(&self) -> u64 {
        self.names
            .values()
            .map(|&file| self.files[file].len() as u64)
            .sum()
    }

    /// Does what `keeps` says of it: asked once for a name, and for each sector of a write.
    fn apply(&mut self, operation: &Operation, mut keeps: impl FnMut(usize) -> bool) {
        match operation {
            Operation::Create { name, file } => {
                if keeps(0) {
                    let files = &mut self.files;
                    files.resize_with(files.len().max(file + 1), Vec::new);
                    self.names.insert(name.clone(), *file);
                }
            }
            Operation::Remove { name } => {
                if keeps(0) {
                    self.names.remove(name);
                }
            }
            Operation::Write {
                file,
                offset,
                bytes,
            } => {
                let mut at = usize::try_from(*offset).expect("a file in memory");
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    let in_sector = (SECTOR_BYTES - at % SECTOR_BYTES).min(rest.len());
                    let (sector, more) = rest.split_at(in_sector);
                    if keeps(at / SECTOR_BYTES) {
                        let contents = &mut self.files[*file];
                        contents.resize(contents.len().max(at + in_sector), 0);
                        contents[at..at + in_sector].copy_from_slice(sector);
                    }
                    at += in_sector;
                    rest = more;
                }
            }
            Operation::Sync { .. } | Operation::SyncNames => {}
        }
    }
}

impl State {
    /// True if a planned fault of this kind is due now; the others come one call nearer.
    fn fails(&mut self, is_meant: impl Fn(&mut Fault) -> Option<&mut u32>) -> bool {
        let mut due = None;
        for (index, fault) in self.faults.iter_mut().enumerate() {
            if let Some(left) = is_meant(fault) {
                match left.checked_sub(1) {
                    Some(less) => *left = less,
                    None => due = Some(index),
                }
            }
        }
        due.map(|index| self.faults.swap_remove(index)).is_some()
    }

    fn perform(&mut self, operation: Operation) {
        self.now.apply(&operation, |_| true);
        self.operations.push(operation);
    }
}

fn eio() -> io::Error {
    rustix::io::Errno::IO.into()
}

impl Disk for SimulatedDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.state().now.names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        if state.now.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if state.fails(|fault| match fault {
            Fault::Create(left) => Some(left),
            Fault::Write(_) | Fault::Sync(_) | Fault::Read(_) => None,
        }) {
            return Err(eio());
        }
        let file = state.now.files.len();
        state.perform(Operation::Create {
            name: name.to_owned(),
            file,
        });
        Ok(Arc::new(SimulatedFile {
            disk: self.clone(),
            file,
        }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.state().now.names.get(name).copied();
        Ok(Arc::new(SimulatedFile {
            disk: self.clone(),
            file: file.ok_or(io::ErrorKind::NotFound)?,
        }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        if !state.now.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.perform(Operation::Remove {
            name: name.to_owned(),
        });
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        self.state().perform(Operation::SyncNames);
        Ok(())
    }

    fn volume(&self) -> io::Result<Option<Volume>> {
        let state = self.state();
        Ok(state.capacity_bytes.map(|bytes| Volume {
            bytes,
            available_bytes: bytes.saturating_sub(state.now.used_bytes()),
        }))
    }

    fn describe(&self, name: &str) -> String {
        name.to_owned()
    }
}

struct SimulatedFile {
    disk: SimulatedDisk,
    file: usize,
}

impl DiskFile for SimulatedFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.disk.state().now.files[self.file].len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.disk.state();
        if state.fails(|fault| match fault {
            Fault::Read(left) => Some(left),
            Fault::Write(_) | Fault::Sync(_) | Fault::Create(_) => None,
        }) {
            return Err(eio());
        }
        let contents = &state.now.files[self.file];
        let offset = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(contents.len());
        let there = &contents[offset..];
        let read = there.len().min(buffer.len());
        buffer[..read].copy_from_slice(&there[..read]);
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut state = self.disk.state();
        let fails = state.fails(|fault| match fault {
            Fault::Write(left) => Some(left),
            Fault::Sync(_) | Fault::Create(_) | Fault::Read(_) => None,
        });
        let halved = fails || state.short_writes;
        let taken = if halved {
            &bytes[..bytes.len().div_ceil(2)]
        } else {
            bytes
        };
        let end = offset + taken.len() as u64;
        let grows = end.saturating_sub(state.now.files[self.file].len() as u64);
        let is_full = state
            .capacity_bytes
            .is_some_and(|capacity| state.now.used_bytes() + grows > capacity);
        if is_full && grows > 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.perform(Operation::Write {
            file: self.file,
            offset,
            bytes: taken.to_vec(),
        });
        if fails { Err(eio()) } else { Ok(taken.len()) }
    }

    fn sync(&self) -> io::Result<()> {
        {
            let mut gate = self.disk.0.gate.lock();
            gate.waiting += 1;
            self.disk.0.opened.notify_all();
            while gate.held {
                self.disk.0.opened.wait(&mut gate);
            }
            gate.waiting -= 1;
        }
        let mut state = self.disk.state();
        if state.fails(|fault| match fault {
            Fault::Sync(left) => Some(left),
            Fault::Write(_) | Fault::Create(_) | Fault::Read(_) => None,
        }) {
            return Err(eio());
        }
        state.perform(Operation::Sync { file: self.file });
        Ok(())
    }
}
