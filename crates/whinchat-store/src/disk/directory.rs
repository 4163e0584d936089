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

use super::{Disk, DiskFile};

/// The file that the holder of the folder keeps locked.
const LOCK: &str = "lock";

/// A folder that one process holds: made or checked, and locked until it is dropped.
#[derive(Debug)]
pub struct DataDirectory {
    path: PathBuf,
    folder: Arc<OwnedFd>,
    _lock: OwnedFd,
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
        let failed = |what, error: Errno| DirectoryError::Io {
            what,
            path: path.to_owned(),
            error: error.into(),
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = match rustix::fs::open(path, flags, Mode::empty()) {
            Err(Errno::NOENT) => {
                make(path)?;
                rustix::fs::open(path, flags, Mode::empty())
            }
            opened => opened,
        };
        let folder = match folder {
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
        let lock = rustix::fs::openat(
            &folder,
            LOCK,
            OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::RUSR | Mode::WUSR,
        )
        .map_err(|error| match error {
            Errno::LOOP => DirectoryError::SymbolicLink {
                path: path.join(LOCK),
            },
            error => failed("write to", error),
        })?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                folder: Arc::new(folder),
                _lock: lock,
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
        }
    }
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
}

impl Directory {
    fn open_file(&self, name: &str, more: OFlags) -> io::Result<Arc<dyn DiskFile>> {
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | more;
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
        self.open_file(name, OFlags::CREATE | OFlags::EXCL)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.open_file(name, OFlags::empty())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&*self.folder, name, AtFlags::empty())?)
    }

    fn sync_names(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&*self.folder)?)
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
