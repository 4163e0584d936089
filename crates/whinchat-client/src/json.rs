//! Payloads as JSON, through serde. Feature `json`.

use std::sync::Arc;

use serde::{Serialize, de::DeserializeOwned};
use whinchat_codec::Utf8String;

use crate::{client::Client, error::PublishError, message::Message, publish::Publication};

impl Client {
    /// Publishes `payload` as JSON. With 5.0 it is marked as text of type `application/json`.
    pub fn publish_json<T, P>(&self, topic: T, payload: &P) -> Publication
    where
        T: TryInto<Utf8String>,
        PublishError: From<T::Error>,
        P: Serialize + ?Sized,
    {
        match serde_json::to_vec(payload) {
            Ok(json) => self
                .publish(topic, json)
                .content_type("application/json")
                .payload_is_text()
                .properties_optional(),
            Err(error) => self
                .publish(topic, Vec::new())
                .failed(PublishError::Json(Arc::new(error))),
        }
    }
}

impl Message {
    /// Reads the payload as JSON.
    ///
    /// # Errors
    /// It is none, or not that of a `T`; the message names line and column.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, JsonError> {
        serde_json::from_slice(self.payload()).map_err(|error| JsonError(Arc::new(error)))
    }
}

/// A payload that is not the JSON that was expected.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the payload is not the JSON that was expected: {0}")]
pub struct JsonError(Arc<serde_json::Error>);
