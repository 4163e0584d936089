//! A broker whose acks wait for the disk: each turn's records go to one log, synced in groups.
//!
//! ```text
//! cargo run --release -p whinchat-broker --example synced -- 127.0.0.1:1883 /tmp/whinchat 2
//! ```
//!
//! The log is written and what it holds is not taken up again: it shows what the promise costs.

use std::{env, error::Error, sync::Arc};

use whinchat_broker::Broker;
use whinchat_store::{DurableLog, DurableLogOptions, disk::DataDirectory};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let threads = arguments.nth(1).map_or(Ok(2), |threads| threads.parse())?;
    let mut builder = Broker::builder().listen(address.parse()?).threads(threads);
    let path = env::args().nth(2).filter(|path| path != "-");
    let data = path
        .map(|path| DataDirectory::open(path.as_ref()))
        .transpose()?;
    if let Some(data) = &data {
        let options = DurableLogOptions::default();
        let (log, _) = DurableLog::open(Arc::new(data.disk()), options, |_| Ok(()))?;
        builder = builder.log(Arc::new(log));
    }
    let broker = builder.start()?;
    for endpoint in broker.local_endpoints() {
        eprintln!("listening on {endpoint}");
    }
    loop {
        std::thread::park();
    }
}
