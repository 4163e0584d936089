//! A broker whose acks wait for the disk: each turn's records go to one file, synced in groups.
//!
//! ```text
//! cargo run --release -p whinchat-broker --example synced -- 127.0.0.1:1883 /tmp/whinchat.log 2
//! ```
//!
//! The file is written and never read again: it shows what the promise costs, and keeps nothing.

use std::{env, error::Error, sync::Arc};

use whinchat_broker::Broker;
use whinchat_store::{FileLog, FileLogOptions};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let threads = arguments.nth(1).map_or(Ok(2), |threads| threads.parse())?;
    let mut builder = Broker::builder().listen(address.parse()?).threads(threads);
    if let Some(path) = env::args().nth(2).filter(|path| path != "-") {
        builder = builder.log(Arc::new(FileLog::create(
            path.as_ref(),
            &FileLogOptions::default(),
        )?));
    }
    let broker = builder.start()?;
    for endpoint in broker.local_endpoints() {
        eprintln!("listening on {endpoint}");
    }
    loop {
        std::thread::park();
    }
}
