//! The limits L-1 to L-20: what is above one is answered as stated, counted under the option's name
//! and logged with client, value and option.

mod connections;
mod packets;
mod queues;

use whinchat_broker::{BrokerHandle, Limit};

/// How often this limit has held something off.
fn hits(broker: &BrokerHandle, limit: Limit) -> u64 {
    broker
        .metrics()
        .sum(|shard| shard.limit_hits.of(limit).value())
}
