//! An object store with a blocking face, and errors without credentials. Each thread has a small runtime of its own for
//! the waits of the library; nothing else of xpipe is asynchronous.

use std::cell::OnceCell;
use std::future::Future;
use std::io::Read;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{GetOptions, GetResultPayload, ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use tokio::runtime::{Builder, Runtime};

use super::Error;
use super::credentials::Credentials;
use super::folder::Folder;

/// Bytes of a local file that are read at once.
const PIECE: usize = 1 << 20;

/// How large files are sent.
#[derive(Clone, Debug)]
pub(crate) enum Large {
    /// In parts that the store keeps until the last one.
    Parts(Arc<dyn PartStore>),
    /// In pieces of one transfer.
    Pieces,
    /// Whole, from memory.
    Whole,
}

/// A store that keeps parts.
pub(crate) trait PartStore: MultipartStore + std::fmt::Debug {}
impl<T: MultipartStore + std::fmt::Debug> PartStore for T {}

/// Where the files are.
#[derive(Clone, Debug)]
enum Place {
    Store(Arc<dyn ObjectStore>),
    Folder(Arc<Folder>),
}

/// An object store below a prefix.
#[derive(Clone, Debug)]
pub(crate) struct Objects {
    place: Place,
    pub(crate) large: Large,
    prefix: Path,
    credentials: Credentials,
}

/// What became of writing a file that should be new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// It was written.
    New,
    /// There was one.
    Existed,
    /// The store cannot tell.
    NoCondition,
}

impl Objects {
    pub(crate) fn new(
        store: Arc<dyn ObjectStore>,
        large: Large,
        prefix: Path,
        credentials: Credentials,
    ) -> Self {
        Self { place: Place::Store(store), large, prefix, credentials }
    }

    /// The object store in a folder, which need not be there yet.
    pub(crate) fn in_folder(folder: Folder) -> Self {
        Self {
            place: Place::Folder(Arc::new(folder)),
            large: Large::Pieces,
            prefix: Path::default(),
            credentials: Credentials::default(),
        }
    }

    fn store(&self, doing: &'static str, below: &str) -> Result<Arc<dyn ObjectStore>, Error> {
        match &self.place {
            Place::Store(store) => Ok(Arc::clone(store)),
            Place::Folder(folder) => {
                folder.store().map_err(|why| Error::Store { doing, path: below.to_owned(), why })
            }
        }
    }

    /// The store, about to write a file.
    fn store_to_write(&self, below: &str) -> Result<Arc<dyn ObjectStore>, Error> {
        let store = self.store("writing", below)?;
        if let Place::Folder(folder) = &self.place {
            folder.remove_leftovers(below);
        }
        Ok(store)
    }

    fn path(&self, below: &str) -> Path {
        Path::from_iter(self.prefix.parts().chain(Path::from(below).parts()))
    }

    /// The error of an operation on a file.
    fn error(&self, doing: &'static str, below: &str, e: &object_store::Error) -> Error {
        let text = match std::error::Error::source(e) {
            Some(cause) => cause.to_string(),
            None => e.to_string(),
        };
        // Cleaned whole: in a text that was cut, the first part of a secret would no longer be found.
        let text = self.credentials.clean(&text);
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        Error::Store { doing, path: below.to_owned(), why: text.chars().take(400).collect() }
    }

    /// The error of an operation on a part of an upload.
    fn part_error(&self, below: &str, e: &object_store::Error) -> Error {
        /// How stores say that they do not have an upload or a part of it, apart from "not found".
        const GONE: [&str; 3] = ["<Code>NoSuchUpload", "<Code>InvalidPart", "<Code>InvalidBlockList"];
        let text = std::error::Error::source(e).map(ToString::to_string).unwrap_or_default();
        if matches!(e, object_store::Error::NotFound { .. }) || GONE.iter().any(|code| text.contains(code)) {
            return Error::UploadGone { doing: "writing", path: below.to_owned() };
        }
        self.error("writing", below, e)
    }

    /// A small file; `None` when it is not there.
    pub(crate) fn read_small(&self, below: &str, longest: u64) -> Result<Option<Vec<u8>>, Error> {
        let mut bytes = Vec::new();
        let found = self.read(below, &mut |piece| {
            if (bytes.len() + piece.len()) as u64 > longest {
                return Err(Error::Refused(format!("it has more than {longest} bytes")));
            }
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(found.then_some(bytes))
    }

    /// Reads a file piece by piece; `false` when it is not there.
    pub(crate) fn read(
        &self,
        below: &str,
        each: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<bool, Error> {
        let failed = |e: &object_store::Error| self.error("reading", below, e);
        let store = self.store("reading", below)?;
        let found = match wait(store.get_opts(&self.path(below), GetOptions::default()))? {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(false),
            Err(e) => return Err(failed(&e)),
        };
        match found.payload {
            GetResultPayload::File(mut file, _) => {
                let mut piece = vec![0; PIECE];
                loop {
                    let n = file.read(&mut piece).map_err(|e| Error::Store {
                        doing: "reading",
                        path: below.to_owned(),
                        why: e.to_string(),
                    })?;
                    if n == 0 {
                        return Ok(true);
                    }
                    each(&piece[..n])?;
                }
            }
            GetResultPayload::Stream(mut stream) => {
                while let Some(piece) = wait(stream.next())? {
                    each(&piece.map_err(|e| failed(&e))?)?;
                }
                Ok(true)
            }
        }
    }

    /// The size of a file; `None` when it is not there.
    pub(crate) fn size(&self, below: &str) -> Result<Option<u64>, Error> {
        match wait(self.store("looking for", below)?.head(&self.path(below)))? {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(self.error("looking for", below, &e)),
        }
    }

    /// Writes a file, replacing one that is there.
    pub(crate) fn write(&self, below: &str, bytes: Bytes) -> Result<(), Error> {
        let payload = PutPayload::from_bytes(bytes);
        let store = self.store_to_write(below)?;
        let mut attempts = 0;
        loop {
            attempts += 1;
            match wait(store.put(&self.path(below), payload.clone()))? {
                Ok(_) => return Ok(()),
                // Two writers made a folder of a WebDAV server at once: the second one finds it there now.
                Err(e) if attempts < 8 && e.to_string().contains("performing MKCOL") => {}
                Err(e) => return Err(self.error("writing", below, &e)),
            }
        }
    }

    /// Writes a file if there is none.
    pub(crate) fn write_new(&self, below: &str, bytes: Bytes) -> Result<Written, Error> {
        use object_store::Error as E;
        let payload = PutPayload::from_bytes(bytes);
        let store = self.store_to_write(below)?;
        match wait(store.put_opts(&self.path(below), payload, PutMode::Create.into()))? {
            Ok(_) => Ok(Written::New),
            Err(E::AlreadyExists { .. } | E::Precondition { .. }) => Ok(Written::Existed),
            Err(E::NotImplemented { .. } | E::NotSupported { .. }) => Ok(Written::NoCondition),
            Err(e) => Err(self.error("writing", below, &e)),
        }
    }

    /// Removes a file.
    pub(crate) fn remove(&self, below: &str) -> Result<(), Error> {
        let store = self.store("removing", below)?;
        wait(store.delete(&self.path(below)))?.map_err(|e| self.error("removing", below, &e))
    }

    /// Writes a file from pieces as they come; nothing is there until the last one.
    pub(crate) fn write_pieces(
        &self,
        below: &str,
        next: &mut dyn FnMut() -> Result<Option<Bytes>, Error>,
    ) -> Result<(), Error> {
        let failed = |e: &object_store::Error| self.error("writing", below, e);
        let store = self.store_to_write(below)?;
        let mut upload = wait(store.put_multipart(&self.path(below)))?.map_err(|e| failed(&e))?;
        let mut write = || -> Result<(), Error> {
            while let Some(piece) = next()? {
                wait(upload.put_part(piece.into()))?.map_err(|e| failed(&e))?;
            }
            wait(upload.complete())?.map_err(|e| failed(&e))?;
            Ok(())
        };
        let done = write();
        if done.is_err() {
            let _ = wait(upload.abort());
        }
        done
    }

    /// Begins a file in parts; returns the store's name of it.
    pub(crate) fn begin_parts(&self, store: &dyn PartStore, below: &str) -> Result<String, Error> {
        wait(store.create_multipart(&self.path(below)))?.map_err(|e| self.error("writing", below, &e))
    }

    /// Sends part `n`; returns the store's name of it.
    pub(crate) fn write_part(
        &self,
        store: &dyn PartStore,
        below: &str,
        upload: &String,
        n: usize,
        bytes: Bytes,
    ) -> Result<String, Error> {
        let part = wait(store.put_part(&self.path(below), upload, n, bytes.into()))?;
        part.map(|p| p.content_id).map_err(|e| self.part_error(below, &e))
    }

    /// Ends a file in parts: it is there now.
    pub(crate) fn complete_parts(
        &self,
        store: &dyn PartStore,
        below: &str,
        upload: &String,
        parts: &[String],
    ) -> Result<(), Error> {
        let parts = parts.iter().map(|id| PartId { content_id: id.clone() }).collect();
        let done = wait(store.complete_multipart(&self.path(below), upload, parts))?;
        done.map(|_| ()).map_err(|e| self.part_error(below, &e))
    }

    /// Gives up a file in parts.
    pub(crate) fn abort_parts(&self, store: &dyn PartStore, below: &str, upload: &String) {
        let _ = wait(store.abort_multipart(&self.path(below), upload));
    }
}

thread_local! {
    static RUNTIME: OnceCell<Runtime> = const { OnceCell::new() };
}

/// Waits for the library on this thread.
fn wait<T>(future: impl Future<Output = T>) -> Result<T, Error> {
    RUNTIME.with(|cell| {
        if cell.get().is_none() {
            let made = Builder::new_current_thread().enable_time().build();
            let made =
                made.map_err(|e| Error::settings(format!("no runtime for requests can be started: {e}")))?;
            let _ = cell.set(made);
        }
        match cell.get() {
            Some(runtime) => Ok(runtime.block_on(future)),
            None => Err(Error::settings("no runtime for requests")),
        }
    })
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    #[test]
    fn a_secret_is_removed_before_a_long_answer_is_cut() {
        let credentials = Credentials::of([("XPIPE_REMOTE_PASSWORD", "s3cr3tpassword")]);
        let objects = Objects::new(Arc::new(InMemory::new()), Large::Whole, Path::default(), credentials);
        for before in 380..400 {
            let answer = format!("{}s3cr3tpassword", "x".repeat(before));
            let error = object_store::Error::Generic { store: "test", source: answer.into() };
            let told = objects.error("reading", "a", &error).to_string();
            assert!(told.contains("x*") && !told.contains("s3c"), "{before}: {told}");
        }
    }
}
