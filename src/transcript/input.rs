//! The bytes that a reader parses: from a file, or from a stream such as a named pipe.
//!
//! Invariant: no call blocks longer than [`POLL_INTERVAL`]. Opening and reading a pipe block until its
//! writer acts, and a signal does not end that wait, so a separate thread does both.

use crate::util::thread;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{sync_channel, Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

/// The time between two checks for more bytes.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(25);

/// How many bytes one call reads at most.
const STREAM_BLOCK: usize = 64 * 1024;
const FILE_BLOCK: u64 = 256 * 1024;

pub(crate) enum Input {
    File(File),
    /// The blocks that the thread has read. The thread ends after its next read once this receiver is
    /// dropped.
    Stream(Receiver<io::Result<Vec<u8>>>),
}

/// The outcome of a read.
pub(crate) enum ReadOutcome {
    Bytes(usize),
    /// The stream is open, and its writer has not sent more yet.
    Pending,
    End,
}

impl Input {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        if metadata.is_dir() {
            return Err(io::Error::from_raw_os_error(libc::EISDIR));
        }
        if metadata.is_file() {
            return File::open(path).map(Self::File);
        }
        let (sender, receiver) = sync_channel(1);
        let path = path.to_owned();
        thread::spawn("zmqchat-log-stream", move || {
            if let Err(error) = read_stream(&path, &sender) {
                // This fails if the reader was dropped.
                let _ = sender.send(Err(error));
            }
        })?;
        Ok(Self::Stream(receiver))
    }

    /// Appends the next bytes to `block`.
    pub(crate) fn read(&mut self, block: &mut Vec<u8>) -> io::Result<ReadOutcome> {
        let count = match self {
            Self::File(file) => file.take(FILE_BLOCK).read_to_end(block)?,
            Self::Stream(receiver) => match receiver.recv_timeout(POLL_INTERVAL) {
                Ok(bytes) => {
                    let bytes = bytes?;
                    block.extend_from_slice(&bytes);
                    bytes.len()
                }
                Err(RecvTimeoutError::Timeout) => return Ok(ReadOutcome::Pending),
                Err(RecvTimeoutError::Disconnected) => 0,
            },
        };
        Ok(if count == 0 {
            ReadOutcome::End
        } else {
            ReadOutcome::Bytes(count)
        })
    }
}

/// Sends the blocks of a stream until it ends or the receiver is dropped.
fn read_stream(path: &PathBuf, sender: &SyncSender<io::Result<Vec<u8>>>) -> io::Result<()> {
    let mut stream = File::open(path)?;
    let mut block = vec![0; STREAM_BLOCK];
    loop {
        match stream.read(&mut block) {
            Ok(0) => return Ok(()),
            Ok(count) => {
                if sender.send(Ok(block[..count].to_vec())).is_err() {
                    return Ok(());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
