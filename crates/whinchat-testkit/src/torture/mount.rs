//! File systems that a method mounts and unmounts, which takes root and what a machine allows.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
};

/// Something mounted; dropping it unmounts it.
pub(super) struct Mount {
    pub(super) at: PathBuf,
}

impl Mount {
    /// The file system in a file.
    pub(super) fn image(image: &Path, at: &Path) -> io::Result<Self> {
        fs::create_dir_all(at)?;
        run(Command::new("mount").args(["-o", "loop"]).args([image, at]))?;
        Ok(Self { at: at.to_owned() })
    }

    /// An empty file system of this size in memory.
    pub(super) fn tmpfs(at: &Path, bytes: u64) -> io::Result<Self> {
        fs::create_dir_all(at)?;
        let size = format!("size={bytes},mode=0700");
        run(Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(at))?;
        Ok(Self { at: at.to_owned() })
    }

    /// The data directory of a broker there.
    pub(super) fn data(&self) -> PathBuf {
        self.at.join("data")
    }

    /// What its device has counted of writes, as text.
    pub(super) fn writes(&self) -> io::Result<String> {
        let device = fs::metadata(&self.at)?.dev();
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        let counts = fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat"))?;
        // Writes that are done, those that were merged, sectors; see the kernel's Documentation/block/stat.rst.
        let writes: Vec<_> = counts.split_whitespace().skip(4).take(3).collect();
        Ok(writes.join(" "))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Err(error) = run(Command::new("umount").arg(&self.at)) {
            eprintln!("{error}");
        }
    }
}

/// Runs a command; an error has what it said.
pub(super) fn run(command: &mut Command) -> io::Result<()> {
    let output = command.output();
    let program = command.get_program().to_string_lossy();
    let output = output.map_err(|error| io::Error::other(format!("{program}: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{program}: {}", said.trim())))
}
