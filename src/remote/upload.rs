//! Sending a blob. Small ones go whole; large ones in parts, whose state is kept in the cache so that a push that was
//! killed goes on where it was. Everything that is sent is digested on the way.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::Error;
use super::in_flight::InFlight;
use super::layout;
use super::objects::{Large, Objects, PartStore};
use super::upload_state::{State, StateFile};
use xpipe_base::value::human;
use xpipe_engine::cache::{self, Output, Store};

/// Sizes in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// Blobs of at most this size are sent whole.
    pub(crate) whole: u64,
    /// The smallest part.
    pub(crate) part: u64,
}

impl Sizes {
    /// What stores take.
    pub(crate) const USUAL: Self = Self { whole: 64 << 20, part: 16 << 20 };
}

/// Stores allow 10,000 parts.
const MOST_PARTS: u64 = 9_000;
/// The largest blob that is sent from memory to a server that takes nothing else.
const FROM_MEMORY: u64 = 1 << 30;

/// Sends blobs of a store.
pub(crate) struct Uploader<'a> {
    pub(crate) objects: &'a Objects,
    pub(crate) store: &'a Store,
    pub(crate) sizes: Sizes,
    /// The folder of states of uploads, one for each remote cache.
    pub(crate) states: PathBuf,
    /// What other threads of this process are sending.
    pub(crate) in_flight: &'a InFlight,
    /// Whether to stop.
    pub(crate) stop: &'a (dyn Fn() -> bool + Sync),
    /// Gets the number of bytes that were sent.
    pub(crate) sent: &'a (dyn Fn(u64) + Sync),
}

impl Uploader<'_> {
    /// Sends a blob unless the remote cache has it; `replace` sends it anyway. Returns the number of bytes sent.
    pub(crate) fn send(&self, output: &Output, replace: bool) -> Result<u64, Error> {
        let path = layout::blob(&output.digest);
        let _alone = self.in_flight.enter(&output.digest, self.stop)?;
        if !replace && self.is_there(&path, output)? {
            return Ok(0);
        }
        if output.size <= self.sizes.whole {
            return self.send_whole(&path, output);
        }
        match &self.objects.large {
            Large::Parts(parts) => self.send_parts(parts, &path, output, replace),
            Large::Pieces => self.send_pieces(&path, output),
            Large::Whole if output.size <= FROM_MEMORY => self.send_whole(&path, output),
            Large::Whole => Err(Error::Refused(format!(
                "`{}` has {}, and a plain web server takes at most {}; use an object store for large results",
                output.name,
                human::size(output.size),
                human::size(FROM_MEMORY)
            ))),
        }
    }

    fn is_there(&self, path: &str, output: &Output) -> Result<bool, Error> {
        Ok(self.objects.size(path)? == Some(output.size))
    }

    fn send_whole(&self, path: &str, output: &Output) -> Result<u64, Error> {
        let mut pieces = Pieces::open(self, output, output.size)?;
        let bytes = pieces.next()?.unwrap_or_default();
        pieces.require_end()?;
        self.objects.write(path, bytes)?;
        (self.sent)(output.size);
        Ok(output.size)
    }

    fn send_pieces(&self, path: &str, output: &Output) -> Result<u64, Error> {
        let mut pieces = Pieces::open(self, output, self.sizes.part)?;
        self.objects.write_pieces(path, &mut || {
            self.go_on()?;
            let piece = pieces.next()?;
            match &piece {
                Some(piece) => (self.sent)(piece.len() as u64),
                None => pieces.require_end()?,
            }
            Ok(piece)
        })?;
        Ok(output.size)
    }

    fn send_parts(
        &self,
        store: &Arc<dyn PartStore>,
        path: &str,
        output: &Output,
        replace: bool,
    ) -> Result<u64, Error> {
        let file = StateFile::of(&self.states, &output.digest);
        // Another process of this machine may be sending the same blob.
        let _held = loop {
            let held = file.try_lock().map_err(|e| cache::Error::writing(file.path(), e))?;
            if let Some(held) = held {
                break held;
            }
            self.go_on()?;
            std::thread::sleep(std::time::Duration::from_millis(200));
        };
        let ended = || -> Result<bool, Error> {
            let ended = !replace && self.is_there(path, output)?;
            if ended {
                file.remove();
            }
            Ok(ended)
        };
        if ended()? {
            return Ok(0);
        }
        let part = self.sizes.part.max(output.size.div_ceil(MOST_PARTS));
        let (mut state, resumed) = match file.read(part) {
            Some(state) => (state, true),
            None => (self.begin(store.as_ref(), path, part)?, false),
        };
        match self.go_on_with(store.as_ref(), path, output, &mut state, &file) {
            // The store gave up the parts that were sent before; or a push that was killed had sent the last one.
            Err(Error::UploadGone { .. }) if resumed => {
                file.remove();
                if ended()? {
                    return Ok(0);
                }
                let mut state = self.begin(store.as_ref(), path, part)?;
                self.go_on_with(store.as_ref(), path, output, &mut state, &file)
            }
            done => done,
        }
    }

    fn begin(&self, store: &dyn PartStore, path: &str, part: u64) -> Result<State, Error> {
        Ok(State { upload: self.objects.begin_parts(store, path)?, part, parts: Vec::new() })
    }

    fn go_on_with(
        &self,
        store: &dyn PartStore,
        path: &str,
        output: &Output,
        state: &mut State,
        file: &StateFile,
    ) -> Result<u64, Error> {
        let mut pieces = Pieces::open(self, output, state.part)?;
        let mut sent = 0;
        for n in 0.. {
            self.go_on()?;
            let Some(piece) = pieces.next()? else { break };
            // What was sent before is only digested.
            if n >= state.parts.len() {
                let size = piece.len() as u64;
                state.parts.push(self.objects.write_part(store, path, &state.upload, n, piece)?);
                file.keep(state);
                sent += size;
                (self.sent)(size);
            }
        }
        if let Err(e) = pieces.require_end() {
            self.objects.abort_parts(store, path, &state.upload);
            file.remove();
            return Err(e);
        }
        self.objects.complete_parts(store, path, &state.upload, &state.parts)?;
        file.remove();
        Ok(sent)
    }

    fn go_on(&self) -> Result<(), Error> {
        if (self.stop)() { Err(Error::Stopped) } else { Ok(()) }
    }
}

/// The content of a blob in pieces, digested as it is read.
struct Pieces<'a> {
    file: File,
    output: &'a Output,
    piece: u64,
    read: u64,
    hasher: blake3::Hasher,
}

impl<'a> Pieces<'a> {
    fn open(uploader: &Uploader<'_>, output: &'a Output, piece: u64) -> Result<Self, Error> {
        let file = uploader.store.open_output(output)?;
        Ok(Self { file, output, piece: piece.max(1), read: 0, hasher: blake3::Hasher::new() })
    }

    fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let left = self.output.size.saturating_sub(self.read).min(self.piece);
        let mut bytes = Vec::with_capacity(usize::try_from(left).unwrap_or(0));
        let n =
            (&mut self.file).take(left).read_to_end(&mut bytes).map_err(|e| self.damaged(&e.to_string()))?;
        if n == 0 {
            return Ok(None);
        }
        self.hasher.update_rayon(&bytes);
        self.read += n as u64;
        Ok(Some(bytes.into()))
    }

    /// Checks that everything was read and is what was recorded.
    fn require_end(&mut self) -> Result<(), Error> {
        match self.read == self.output.size && *self.hasher.finalize().as_bytes() == self.output.digest.0 {
            true => Ok(()),
            false => Err(self.damaged("its content is not what was recorded")),
        }
    }

    fn damaged(&self, why: &str) -> Error {
        Error::Refused(format!("`{}` of the result in this cache is damaged: {why}", self.output.name))
    }
}
