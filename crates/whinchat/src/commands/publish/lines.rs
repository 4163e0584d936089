//! `pub -l`: each line of standard input is a message.
//!
//! Lines keep their order; many are under way at a time, and the end waits for all acks.

use std::collections::VecDeque;

use indicatif::ProgressBar;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use whinchat_client::{Client, Completion};

use super::{Letterhead, is_full, progress};
use crate::commands::tool::Failure;

/// Lines under way.
const WINDOW: usize = 1_000;

pub(super) async fn publish(
    client: &Client,
    letterhead: &Letterhead,
    is_quiet: bool,
) -> Result<(), Failure> {
    let progress = progress::of_lines(is_quiet);
    let result = publish_all(client, letterhead, &progress).await;
    progress.finish_and_clear();
    result
}

async fn publish_all(
    client: &Client,
    letterhead: &Letterhead,
    progress: &ProgressBar,
) -> Result<(), Failure> {
    let mut input = BufReader::with_capacity(64 * 1024, tokio::io::stdin());
    let mut under_way = VecDeque::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = read_line(&mut input, &mut line, &mut under_way).await?;
        if read == 0 {
            break;
        }
        progress.inc(read as u64);
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        let completion = enqueue(client, letterhead, &line, &mut under_way).await?;
        under_way.push_back(completion);
        if under_way.len() >= WINDOW {
            finish_first(&mut under_way).await?;
        }
    }
    while !under_way.is_empty() {
        finish_first(&mut under_way).await?;
    }
    Ok(())
}

/// Reads a line; while there is none, finishes what is under way, so that a refusal is told before the next line comes.
async fn read_line(
    input: &mut BufReader<tokio::io::Stdin>,
    line: &mut Vec<u8>,
    under_way: &mut VecDeque<Completion>,
) -> Result<usize, Failure> {
    let read = input.read_until(b'\n', line);
    tokio::pin!(read);
    loop {
        tokio::select! {
            biased;
            read = &mut read => return read.map_err(|error| Failure::Io { what: "standard input", error }),
            finished = finish_first(under_way), if !under_way.is_empty() => finished?,
        }
    }
}

/// Accepts the line, after waiting for room if need be.
async fn enqueue(
    client: &Client,
    letterhead: &Letterhead,
    line: &[u8],
    under_way: &mut VecDeque<Completion>,
) -> Result<Completion, Failure> {
    let payload = bytes::Bytes::copy_from_slice(line);
    loop {
        match letterhead.publication(client, payload.clone()).enqueue() {
            Err(error) if is_full(&error) && !under_way.is_empty() => {
                finish_first(under_way).await?
            }
            accepted => return Ok(accepted?),
        }
    }
}

/// Cancel-safe: the first stays the first until it is done.
async fn finish_first(under_way: &mut VecDeque<Completion>) -> Result<(), Failure> {
    if let Some(first) = under_way.front_mut() {
        let outcome = first.await;
        under_way.pop_front();
        outcome?;
    }
    Ok(())
}
