//! Where a reader's bytes come from: a file, or a stream, such as a named pipe.
//!
//! Invariant: nothing here waits longer than [`LOOK_AGAIN`]. To open a pipe, and to read it, takes as
//! long as whoever is at its other end pleases, and no signal ends that: a thread of its own does it.

use crate::transcript::reader::LOOK_AGAIN;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{sync_channel, Receiver, RecvTimeoutError, SyncSender};
use std::thread;

/// How much of a stream is read at a time, as it comes; of a file, more.
const STREAM_BLOCK: usize = 64 * 1024;
const FILE_BLOCK: u64 = 256 * 1024;

pub(crate) enum Input {
    File(File),
    /// What its thread has read; that ends when nobody takes it any more, after its next read.
    Stream(Receiver<io::Result<Vec<u8>>>),
}

/// What came of a read.
pub(crate) enum Took {
    Bytes(usize),
    /// Nothing yet: somebody at the other end takes their time.
    Nothing,
    End,
}

impl Input {
    pub(crate) fn open(name: &Path) -> io::Result<Self> {
        let found = fs::metadata(name)?;
        if found.is_dir() {
            return Err(io::Error::from_raw_os_error(libc::EISDIR));
        }
        if found.is_file() {
            return File::open(name).map(Self::File);
        }
        let (blocks, taken) = sync_channel(1);
        let name = name.to_owned();
        thread::Builder::new()
            .name("zmqchat-log-stream".into())
            .spawn(move || {
                if let Err(error) = pump(&name, &blocks) {
                    // Nobody may be there to hear of it.
                    let _ = blocks.send(Err(error));
                }
            })?;
        Ok(Self::Stream(taken))
    }

    /// Appends what comes next to `block`.
    pub(crate) fn read(&mut self, block: &mut Vec<u8>) -> io::Result<Took> {
        let count = match self {
            Self::File(file) => file.take(FILE_BLOCK).read_to_end(block)?,
            Self::Stream(blocks) => match blocks.recv_timeout(LOOK_AGAIN) {
                Ok(bytes) => {
                    let bytes = bytes?;
                    block.extend_from_slice(&bytes);
                    bytes.len()
                }
                Err(RecvTimeoutError::Timeout) => return Ok(Took::Nothing),
                Err(RecvTimeoutError::Disconnected) => 0,
            },
        };
        Ok(if count == 0 {
            Took::End
        } else {
            Took::Bytes(count)
        })
    }
}

/// Hands on what comes, until its end, or until nobody takes it.
fn pump(name: &PathBuf, blocks: &SyncSender<io::Result<Vec<u8>>>) -> io::Result<()> {
    let mut stream = File::open(name)?;
    let mut block = vec![0; STREAM_BLOCK];
    loop {
        match stream.read(&mut block) {
            Ok(0) => return Ok(()),
            Ok(count) => {
                if blocks.send(Ok(block[..count].to_vec())).is_err() {
                    return Ok(());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
