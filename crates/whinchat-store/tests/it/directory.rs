//! The folder of a log: whose it is, and what is refused.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    sync::Arc,
};

use whinchat_store::{
    Durability, DurableLog, DurableLogOptions, LogSegments, OpenError,
    disk::{DataDirectory, DirectoryError, Disk as _},
};

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_new_folder_and_its_files_belong_to_their_owner_alone() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("state/whinchat");
    let data = DataDirectory::open(&path).unwrap();
    let mut options = DurableLogOptions::default();
    options.segment_bytes = 64 << 10;
    let (log, _) = DurableLog::open_stepped(Arc::new(data.disk()), options, |_| Ok(())).unwrap();
    log.append_placed(&mut vec![1; 10], Durability::Synced)
        .unwrap();
    log.commit();
    assert_eq!(mode(&path), 0o700);
    assert_eq!(mode(&parent.path().join("state")), 0o700);
    let mut files = 0;
    for entry in fs::read_dir(&path).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
        files += 1;
    }
    assert_eq!(files, 2, "the lock and a segment");
}

#[test]
fn a_folder_in_use_is_refused_until_it_is_let_go() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("data");
    let data = DataDirectory::open(&path).unwrap();
    let error = DataDirectory::open(&path).unwrap_err();
    assert!(matches!(error, DirectoryError::Busy { .. }), "{error}");
    assert!(error.to_string().contains("in use by another process"));
    drop(data);
    DataDirectory::open(&path).unwrap();
}

#[test]
fn symbolic_links_are_refused_by_name() {
    let parent = tempfile::tempdir().unwrap();
    let real = parent.path().join("real");
    drop(DataDirectory::open(&real).unwrap());
    let link = parent.path().join("link");
    symlink(&real, &link).unwrap();
    let error = DataDirectory::open(&link).unwrap_err();
    assert!(
        matches!(error, DirectoryError::SymbolicLink { .. }),
        "{error}"
    );

    fs::remove_file(real.join("lock")).unwrap();
    symlink("/dev/null", real.join("lock")).unwrap();
    let error = DataDirectory::open(&real).unwrap_err();
    assert!(
        matches!(error, DirectoryError::SymbolicLink { .. }),
        "{error}"
    );
    fs::remove_file(real.join("lock")).unwrap();

    symlink("/dev/null", real.join("log-000000")).unwrap();
    let data = DataDirectory::open(&real).unwrap();
    let opened =
        DurableLog::open_stepped(Arc::new(data.disk()), DurableLogOptions::default(), |_| {
            Ok(())
        });
    let error = opened.err().expect("a link is no segment");
    assert!(
        matches!(error, OpenError::Io { what: "open", .. }),
        "{error}"
    );
}

#[test]
fn a_file_or_a_folder_that_others_may_change_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    fs::write(&file, "text").unwrap();
    let error = DataDirectory::open(&file).unwrap_err();
    assert!(
        matches!(error, DirectoryError::NotADirectory { .. }),
        "{error}"
    );

    let open = parent.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    let error = DataDirectory::open(&open).unwrap_err();
    assert!(
        matches!(error, DirectoryError::OpenToOthers { mode: 0o777, .. }),
        "{error}"
    );
    assert_eq!(
        fs::read_dir(&open).unwrap().count(),
        0,
        "nothing was changed"
    );
}

#[test]
fn readers_share_a_folder_and_change_nothing() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("data");
    let error = DataDirectory::read(&path).unwrap_err();
    assert!(
        matches!(error, DirectoryError::Io { what: "open", .. }),
        "{error}"
    );
    assert!(DataDirectory::open_existing(&path).is_err());
    assert!(!path.exists(), "nobody made it");

    drop(DataDirectory::open(&path).unwrap());
    let reader = DataDirectory::read(&path).unwrap();
    DataDirectory::read(&path).unwrap();
    let error = DataDirectory::open(&path).unwrap_err();
    assert!(matches!(error, DirectoryError::Busy { .. }), "{error}");
    assert!(reader.disk().create("log-000000").is_err());
    assert!(reader.disk().remove("lock").is_err());
    drop(reader);

    let writer = DataDirectory::open_existing(&path).unwrap();
    let error = DataDirectory::read(&path).unwrap_err();
    assert!(matches!(error, DirectoryError::Busy { .. }), "{error}");
    drop(writer);

    fs::remove_file(path.join("lock")).unwrap();
    DataDirectory::read(&path).unwrap();
    assert_eq!(fs::read_dir(&path).unwrap().count(), 0, "no lock was made");
}
