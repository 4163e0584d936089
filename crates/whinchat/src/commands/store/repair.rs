//! `whinchat store repair`.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use whinchat_store::{
    DurableLogOptions, Repaired, Verdict,
    disk::{DataDirectory, Disk, copy_all},
    repair,
};

use super::{Directory, is_damage, read_whole};
use crate::exit::{Exit, print};

pub(super) fn run(directory: &Directory) -> Exit {
    let path = &directory.path;
    let data = match DataDirectory::open_existing(path) {
        Ok(data) => data,
        Err(error) => return Exit::Data.with_error(error),
    };
    let damage = match read_whole(directory, data.disk()) {
        Ok(_) => return print(&format!("{}: whole, nothing was changed\n", path.display())),
        Err(error) if is_damage(&error) => error,
        Err(error) => return Exit::Data.with_error(error),
    };
    let disk: Arc<dyn Disk> = Arc::new(data.disk());
    let copy = match back_up(directory, &*disk) {
        Ok(copy) => copy,
        Err(error) => {
            return Exit::Runtime.with_error(format_args!(
                "cannot copy {} before the repair: {error}; nothing was changed",
                path.display()
            ));
        }
    };
    let (bar, moves) = directory.progress("repairing");
    let repaired = repair(
        &disk,
        DurableLogOptions::default().segment_bytes,
        judge,
        moves,
    );
    bar.finish_and_clear();
    let repaired = match repaired {
        Ok(repaired) => repaired,
        Err(error) => return Exit::Data.with_error(error),
    };
    let said = print(&format!("found: {damage}\n{}", text(&repaired, &copy)));
    match read_whole(directory, data.disk()) {
        Ok(_) => said,
        Err(error) => Exit::Data.with_error(format_args!("it is still not whole: {error}")),
    }
}

fn judge(records: &[u8]) -> Verdict {
    match whinchat_broker::check_group(records) {
        Ok(()) => Verdict::Keep,
        Err(error) if error.is_newer() => Verdict::Refuse(error.into()),
        Err(error) => Verdict::Drop(error.into()),
    }
}

/// Copies all files into a new folder beside the directory, and says where.
fn back_up(directory: &Directory, disk: &dyn Disk) -> io::Result<PathBuf> {
    // The directory itself may be named `.` or end with a slash.
    let real = fs::canonicalize(&directory.path)?;
    let name = real
        .file_name()
        .ok_or_else(|| io::Error::other("it has no folder above it"))?;
    let at = jiff::Zoned::now().strftime("%Y%m%d-%H%M%S").to_string();
    let mut copy_name = name.to_owned();
    copy_name.push(format!(".backup-{at}"));
    let copy = real.with_file_name(copy_name);
    if fs::symlink_metadata(&copy).is_ok() {
        return Err(io::Error::other(format!("{} is there", copy.display())));
    }
    let target = DataDirectory::open(&copy).map_err(io::Error::other)?;
    let (bar, moves) = directory.progress("copying");
    let copied = copy_all(disk, &target.disk(), moves);
    bar.finish_and_clear();
    copied.map(|()| copy)
}

fn text(repaired: &Repaired, copy: &Path) -> String {
    let mut text = String::new();
    for dropped in &repaired.dropped {
        text += &format!("dropped: {dropped}\n");
    }
    text + &format!(
        "kept: {} groups\nas it was: {}\n",
        repaired.kept,
        copy.display()
    )
}
