//! A real folder: who may see it, who holds it, and its files.
//!
//! Everything is opened relative to the folder's own descriptor and without following symbolic links, so that nobody who may write beside it can lead the
//! broker elsewhere (T-96, T-122).

use std::{
    fs::File,
    io,
    os::fd::OwnedFd,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::{
    fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags},
    io::Errno,
};

use super::{Disk, DiskFile, Volume};

/// The file that the holder of the folder keeps locked.
const LOCK: &str = "lock";

/// A folder that is held: made or checked, and locked until it is dropped.
#[derive(Debug)]
pub struct DataDirectory {
    path: PathBuf,
    folder: Arc<OwnedFd>,
    access: Access,
    _lock: Option<OwnedFd>,
}

/// What its holder does with the files of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Write,
    Read,
    /// As `Read`, while others write.
    Watch,
}

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// Another process holds it.
    #[error("the data directory {path} is in use by another process: it holds {path}/{LOCK}")]
    Busy {
        /// The folder.
        path: PathBuf,
    },
    /// It, or something in it, is a symbolic link.
    #[error("{path} is a symbolic link: name the folder itself")]
    SymbolicLink {
        /// The link.
        path: PathBuf,
    },
    /// It is there and is no folder.
    #[error("{path} is not a directory")]
    NotADirectory {
        /// What is there.
        path: PathBuf,
    },
    /// Others may write to it.
    #[error("{path} may be changed by others (mode {mode:04o}): `chmod 700 {path}`")]
    OpenToOthers {
        /// The folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The operating system refused.
    #[error("cannot {what} {path}: {error}")]
    Io {
        /// What was tried: `create`, `open`, `lock`, ...
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What it answered.
        #[source]
        error: io::Error,
    },
}

impl DataDirectory {
    /// Takes the folder at `path` for this process alone; makes it, readable by its owner only, if it is not there. Its parent must exist or is made too.
    ///
    /// # Errors
    /// If it is in use, a symbolic link, open to others, or the operating system refuses. Nothing in the folder was changed then.
    pub fn open(path: &Path) -> Result<Self, DirectoryError> {
        if let Err(Errno::NOENT) = open_folder(path) {
            make(path)?;
        }
        Self::hold(path, Access::Write)
    }

    /// As [`open`](Self::open), but the folder must be there.
    ///
    /// # Errors
    /// As [`open`](Self::open), and if there is no such folder.
    pub fn open_existing(path: &Path) -> Result<Self, DirectoryError> {
        Self::hold(path, Access::Write)
    }

    /// Takes the folder at `path` for reading: nothing in it can be changed, nor is a lock made. Others may read it meanwhile, nobody may write.
    ///
    /// # Errors
    /// As [`open_existing`](Self::open_existing).
    pub fn read(path: &Path) -> Result<Self, DirectoryError> {
        Self::hold(path, Access::Read)
    }

    /// Opens the folder at `path` for reading while another process may hold it and write: only for those who know what they see then.
    ///
    /// # Errors
    /// As [`open_existing`](Self::open_existing), but not if it is in use.
    pub fn watch(path: &Path) -> Result<Self, DirectoryError> {
        Self::hold(path, Access::Watch)
    }

    fn hold(path: &Path, access: Access) -> Result<Self, DirectoryError> {
        let failed = |what, error: Errno| DirectoryError::Io {
            what,
            path: path.to_owned(),
            error: error.into(),
        };
        let folder = match open_folder(path) {
            Ok(folder) => folder,
            Err(Errno::LOOP | Errno::NOTDIR) => return Err(no_folder(path)),
            Err(error) => return Err(failed("open", error)),
        };
        let mode = rustix::fs::fstat(&folder)
            .map_err(|error| failed("look at", error))?
            .st_mode
            & 0o7777;
        if mode & 0o022 != 0 {
            return Err(DirectoryError::OpenToOthers {
                path: path.to_owned(),
                mode,
            });
        }
        if access == Access::Watch {
            return Ok(Self {
                path: path.to_owned(),
                folder: Arc::new(folder),
                access,
                _lock: None,
            });
        }
        let (flags, lock) = match access {
            Access::Write => (
                OFlags::RDWR | OFlags::CREATE,
                FlockOperation::NonBlockingLockExclusive,
            ),
            Access::Read | Access::Watch => (OFlags::RDONLY, FlockOperation::NonBlockingLockShared),
        };
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&folder, LOCK, flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => Some(file),
            // A copy that no broker has used.
            Err(Errno::NOENT) if access == Access::Read => None,
            Err(Errno::LOOP) => {
                return Err(DirectoryError::SymbolicLink {
                    path: path.join(LOCK),
                });
            }
            Err(error) => return Err(failed("open the lock of", error)),
        };
        match file
            .as_ref()
            .map_or(Ok(()), |file| rustix::fs::flock(file, lock))
        {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                folder: Arc::new(folder),
                access,
                _lock: file,
            }),
            Err(Errno::WOULDBLOCK) => Err(DirectoryError::Busy {
                path: path.to_owned(),
            }),
            Err(error) => Err(failed("lock", error)),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its files, but for the lock.
    #[must_use]
    pub fn disk(&self) -> Directory {
        Directory {
            path: self.path.clone(),
            folder: Arc::clone(&self.folder),
            access: self.access,
        }
    }
}

fn open_folder(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
}

/// Makes the folder and what is missing above it, each readable by its owner alone whatever the umask says.
fn make(path: &Path) -> Result<(), DirectoryError> {
    if let Some(parent) = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        && !parent.exists()
    {
        make(parent)?;
    }
    let failed = |what, error: Errno| DirectoryError::Io {
        what,
        path: path.to_owned(),
        error: error.into(),
    };
    let owner = Mode::RWXU;
    match rustix::fs::mkdir(path, owner) {
        // Somebody else was quicker; what they made is checked like any other.
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(failed("create", error)),
    }
    // A folder that a loss of power takes away takes everything in it.
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(parent)
        .and_then(|parent| parent.sync_all())
        .map_err(|error| DirectoryError::Io {
            what: "sync",
            path: parent.to_owned(),
            error,
        })
}

fn no_folder(path: &Path) -> DirectoryError {
    match std::fs::symlink_metadata(path) {
        Ok(there) if there.is_symlink() => DirectoryError::SymbolicLink {
            path: path.to_owned(),
        },
        _ => DirectoryError::NotADirectory {
            path: path.to_owned(),
        },
    }
}

/// The files of a folder.
#[derive(Clone, Debug)]
pub struct Directory {
    path: PathBuf,
    folder: Arc<OwnedFd>,
    access: Access,
}

impl Directory {
    fn may_change(&self) -> io::Result<()> {
        match self.access {
            Access::Write => Ok(()),
            Access::Read | Access::Watch => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
        }
    }

    fn open_file(&self, name: &str, more: OFlags) -> io::Result<Arc<dyn DiskFile>> {
        let access = match self.access {
            Access::Write => OFlags::RDWR,
            Access::Read | Access::Watch => OFlags::RDONLY,
        };
        let flags = access | OFlags::NOFOLLOW | OFlags::CLOEXEC | more;
        let file = rustix::fs::openat(&*self.folder, name, flags, Mode::RUSR | Mode::WUSR)?;
        let kind = FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode);
        if kind == FileType::RegularFile {
            Ok(Arc::new(RealFile(File::from(file))))
        } else {
            Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is not a regular file",
            ))
        }
    }
}

impl Disk for Directory {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&*self.folder)? {
            if let Ok(name) = entry?.file_name().to_str()
                && !matches!(name, "." | ".." | LOCK)
            {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.may_change()?;
        self.open_file(name, OFlags::CREATE | OFlags::EXCL)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.open_file(name, OFlags::empty())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.may_change()?;
        Ok(rustix::fs::unlinkat(&*self.folder, name, AtFlags::empty())?)
    }

    fn sync_names(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&*self.folder)?)
    }

    fn volume(&self) -> io::Result<Option<Volume>> {
        let volume = rustix::fs::fstatvfs(&*self.folder)?;
        let bytes = |blocks: u64| blocks.saturating_mul(volume.f_frsize);
        Ok(Some(Volume {
            bytes: bytes(volume.f_blocks),
            available_bytes: bytes(volume.f_bavail),
        }))
    }

    fn describe(&self, name: &str) -> String {
        self.path.join(name).display().to_string()
    }
}

struct RealFile(File);

impl DiskFile for RealFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(&self.0, buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        FileExt::write_at(&self.0, bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}
