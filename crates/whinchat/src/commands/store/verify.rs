//! `whinchat store verify`.

use whinchat_store::{Verified, disk::DataDirectory};

use super::{Directory, advice, is_damage, read_whole};
use crate::{
    commands::table::Table,
    exit::{Exit, print},
};

pub(super) fn run(directory: &Directory) -> Exit {
    let data = match DataDirectory::read(&directory.path) {
        Ok(data) => data,
        Err(error) => return Exit::Data.with_error(error),
    };
    match read_whole(directory, data.disk()) {
        Ok(verified) => print(&text(&verified)),
        Err(error) if is_damage(&error) => {
            Exit::Data.with_error(format_args!("{error}\n{}", advice(&directory.path)))
        }
        Err(error) => Exit::Data.with_error(error),
    }
}

/// What is in a whole log.
fn text(verified: &Verified) -> String {
    let recovered = &verified.recovered;
    let mut text = format!(
        "segments: {} ({} bytes of files)\ngroups: {}",
        recovered.segments, verified.bytes, recovered.groups
    );
    if recovered.groups > 0 {
        text += &format!(" ({} to {})", verified.first, recovered.last);
    }
    match &recovered.torn {
        Some((file, offset)) => {
            text += &format!(
                "\ntorn tail: {file} from byte {offset}, nobody was promised what stood there\n"
            );
        }
        None => text += "\ntorn tail: none\n",
    }
    let mut table = Table::new(["record", "count"]);
    for (kind, count) in &verified.records {
        let name = whinchat_broker::record_name(*kind)
            .map_or_else(|| format!("kind {}", kind.number()), str::to_owned);
        table.row([name, count.to_string()]);
    }
    if !table.is_empty() {
        text += &table.to_text();
    }
    text + "whole\n"
}
