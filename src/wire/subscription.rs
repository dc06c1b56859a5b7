//! A subscription: one exact topic, or a prefix as ZeroMQ matches it.

use crate::error::{Error, Result};
use crate::wire::message::Framing;
use crate::wire::{quote, topic};

/// Our publishers disconnect a peer that sends more than 8 KiB. libzmq's subscription table recurses
/// once per byte: a prefix of ten million bytes would overflow the stack.
const MAX_PREFIX_BYTES: usize = 8_000;

/// What a peer subscribes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subscription {
    /// Messages with exactly this topic.
    Topic(String),
    /// Messages whose first frame begins with this.
    Prefix(Vec<u8>),
}

impl Subscription {
    /// One topic, which must follow the topic grammar.
    pub fn topic(topic: &str) -> Result<Self> {
        topic::validate(topic)?;
        Ok(Self::Topic(topic.to_owned()))
    }

    /// A raw prefix, no longer than publishers accept.
    pub fn prefix(prefix: Vec<u8>) -> Result<Self> {
        if prefix.len() > MAX_PREFIX_BYTES {
            return Err(Error::Value(format!(
                "the prefix has {} bytes: expected at most {MAX_PREFIX_BYTES}, which publishers \
                 accept; subscribe to its beginning, and compare the rest yourself",
                prefix.len()
            )));
        }
        Ok(Self::Prefix(prefix))
    }

    /// The subscription that libzmq sends as `prefix`: a topic if it is exactly one.
    pub(crate) fn from_wire(prefix: &[u8], framing: Framing) -> Self {
        let exact = match framing {
            Framing::Envelope => Some(prefix),
            _ => prefix.strip_suffix(b":"),
        };
        exact.and_then(topic::is_topic).map_or_else(
            || Self::Prefix(prefix.to_vec()),
            |topic| Self::Topic(topic.to_owned()),
        )
    }

    /// The prefix of the first frame that libzmq subscribes to.
    pub(crate) fn wire_prefix(&self, framing: Framing) -> Vec<u8> {
        match self {
            Self::Prefix(prefix) => prefix.clone(),
            Self::Topic(topic) if framing == Framing::Envelope => topic.as_bytes().to_vec(),
            Self::Topic(topic) => topic::prefix(topic),
        }
    }

    /// The arguments of a constructor; `None` subscribes to everything until the first `subscribe`.
    pub(crate) fn all(
        topics: Option<&[String]>,
        prefixes: Vec<Vec<u8>>,
    ) -> Result<Option<Vec<Self>>> {
        if topics.is_none() && prefixes.is_empty() {
            return Ok(None);
        }
        let mut all = Vec::new();
        for topic in topics.unwrap_or_default() {
            all.push(Self::topic(topic)?);
        }
        for prefix in prefixes {
            all.push(Self::prefix(prefix)?);
        }
        Ok(Some(all))
    }

    /// Describes the subscription in an error: `'room1'` or `the prefix 'log'`.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Topic(topic) => quote(topic),
            Self::Prefix(prefix) => {
                format!("the prefix {}", quote(&String::from_utf8_lossy(prefix)))
            }
        }
    }
}
