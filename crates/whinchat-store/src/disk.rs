//! Files as the log uses them: the seam through which tests cut the power, fill the disk and let it fail.
//!
//! Owns the two traits and what must be done the same way on every disk: writing all of something, and making a file of a fixed size.
//! [`Directory`] is the real one, [`SimulatedDisk`] keeps everything in memory and knows what a crash would leave.

mod directory;
mod simulated;

use std::{io, sync::Arc};

pub use directory::{DataDirectory, Directory, DirectoryError};
pub use simulated::{Crash, Fault, Moment, SimulatedDisk};

/// The volume that files lie on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Bytes in all, used or not.
    pub bytes: u64,
    /// Bytes that this process may still use.
    pub available_bytes: u64,
}

/// A flat folder of files.
pub trait Disk: Send + Sync {
    /// The names of all files, in no order.
    ///
    /// # Errors
    /// What the operating system answers.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes an empty file. Its name is safe only after [`sync_names`](Self::sync_names).
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if there is one of that name; else what the operating system answers.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file for reading and writing.
    ///
    /// # Errors
    /// What the operating system answers.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Removes a file. It is gone for good only after [`sync_names`](Self::sync_names).
    ///
    /// # Errors
    /// What the operating system answers.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes the names of files that were created or removed safe from a loss of power.
    ///
    /// # Errors
    /// What the operating system answers.
    fn sync_names(&self) -> io::Result<()>;

    /// How large the volume is; `None` if there is no bound.
    ///
    /// # Errors
    /// What the operating system answers.
    fn volume(&self) -> io::Result<Option<Volume>>;

    /// Where a file is, for messages.
    fn describe(&self, name: &str) -> String;
}

/// One file that is read and written by position.
pub trait DiskFile: Send + Sync {
    /// How many bytes it has.
    ///
    /// # Errors
    /// What the operating system answers.
    fn size(&self) -> io::Result<u64>;

    /// Reads into `buffer` from `offset`; how much: 0 is the end of the file.
    ///
    /// # Errors
    /// What the operating system answers.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes a part of `bytes` at `offset`; how much.
    ///
    /// # Errors
    /// What the operating system answers.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;

    /// Returns when everything written before is safe from a loss of power.
    ///
    /// # Errors
    /// What the operating system answers. What was written before is then in an unknown state, also after a later success.
    fn sync(&self) -> io::Result<()>;
}

/// Writes all of `bytes` at `offset`.
///
/// # Errors
/// As [`DiskFile::write_at`]; [`io::ErrorKind::WriteZero`] if the file takes nothing more. An interrupted call is made again.
pub fn write_all(file: &dyn DiskFile, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write_at(bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                bytes = &bytes[written..];
                offset += written as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads until `buffer` is full or the file ends; how much.
///
/// # Errors
/// As [`DiskFile::read_at`]. An interrupted call is made again.
pub fn read_full(file: &dyn DiskFile, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        match file.read_at(&mut buffer[read..], offset + read as u64) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

/// Makes a file of `size` zero bytes that is safe from a loss of power.
///
/// The zeros are written, not only reserved: a later sync then has no metadata of the file to write, and the disk cannot be full.
///
/// # Errors
/// What the disk answers. The file that was begun is removed.
pub fn allocate(disk: &dyn Disk, name: &str, size: u64) -> io::Result<Arc<dyn DiskFile>> {
    let file = disk.create(name)?;
    let filled = fill(&*file, size).and_then(|()| disk.sync_names());
    match filled {
        Ok(()) => Ok(file),
        Err(error) => {
            // The first error is the one to tell; a file that stays is empty space, found again at the next start.
            let _ = disk.remove(name);
            Err(error)
        }
    }
}

/// Copies all files of `from` to `to`, which has none of their names, and makes them safe from a loss of power.
///
/// `progress` is called with the bytes that were copied, and that there are.
///
/// # Errors
/// What the disks answer. What was copied stays.
pub fn copy_all(
    from: &dyn Disk,
    to: &dyn Disk,
    mut progress: impl FnMut(u64, u64),
) -> io::Result<()> {
    let mut files = Vec::new();
    let mut total = 0;
    for name in from.list()? {
        let file = from.open(&name)?;
        total += file.size()?;
        files.push((name, file));
    }
    let mut copied = 0;
    let mut buffer = vec![0; 1 << 20];
    for (name, file) in files {
        let copy = to.create(&name)?;
        let mut offset = 0;
        loop {
            let read = read_full(&*file, &mut buffer, offset)?;
            if read == 0 {
                break;
            }
            write_all(&*copy, &buffer[..read], offset)?;
            offset += read as u64;
            progress(copied + offset, total);
        }
        copied += offset;
        copy.sync()?;
    }
    to.sync_names()
}

fn fill(file: &dyn DiskFile, size: u64) -> io::Result<()> {
    static ZEROS: [u8; 256 << 10] = [0; 256 << 10];
    let mut offset = 0;
    while offset < size {
        let step = usize::try_from(size - offset).map_or(ZEROS.len(), |left| left.min(ZEROS.len()));
        write_all(file, &ZEROS[..step], offset)?;
        offset += step as u64;
    }
    file.sync()
}
