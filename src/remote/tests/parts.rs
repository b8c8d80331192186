//! Large blobs, which go in parts.

use std::sync::atomic::{AtomicUsize, Ordering};

use object_store::PutPayload;
use object_store::multipart::{MultipartStore, PartId};
use object_store::{MultipartId, PutResult};

use super::*;
use crate::in_flight::InFlight;
use crate::upload::{Sizes, Uploader};

/// The store in memory, which says of an unknown upload what others say, and fails when asked to.
#[derive(Debug)]
struct Parts {
    memory: Arc<InMemory>,
    fails: bool,
}

fn named(path: &Path, e: object_store::Error) -> object_store::Error {
    match e.to_string().contains("MultipartUpload not found") {
        true => object_store::Error::NotFound { path: path.to_string(), source: Box::new(e) },
        false => e,
    }
}

#[async_trait::async_trait]
impl MultipartStore for Parts {
    async fn create_multipart(&self, path: &Path) -> object_store::Result<MultipartId> {
        self.memory.create_multipart(path).await
    }

    async fn put_part(
        &self,
        path: &Path,
        id: &MultipartId,
        n: usize,
        data: PutPayload,
    ) -> object_store::Result<PartId> {
        if self.fails {
            return Err(object_store::Error::Generic { store: "test", source: "no answer".into() });
        }
        self.memory.put_part(path, id, n, data).await.map_err(|e| named(path, e))
    }

    async fn complete_multipart(
        &self,
        path: &Path,
        id: &MultipartId,
        parts: Vec<PartId>,
    ) -> object_store::Result<PutResult> {
        self.memory.complete_multipart(path, id, parts).await.map_err(|e| named(path, e))
    }

    async fn abort_multipart(&self, path: &Path, id: &MultipartId) -> object_store::Result<()> {
        self.memory.abort_multipart(path, id).await
    }
}

fn objects(lab: &Lab, fails: bool) -> Objects {
    let parts = Large::Parts(Arc::new(Parts { memory: lab.memory.clone(), fails }));
    Objects::new(lab.memory.clone(), parts, Path::from("a/prefix"), Credentials::default())
}

/// Sends the zeros of a result in parts of 1,000 bytes, and stops after some; returns the number of bytes sent.
fn send_in_parts(lab: &Lab, machine: &Machine, key: &Digest, stop_after: usize) -> (Result<u64, Error>, u64) {
    send_with(&objects(lab, false), machine, key, stop_after)
}

fn send_with(
    objects: &Objects,
    machine: &Machine,
    key: &Digest,
    stop_after: usize,
) -> (Result<u64, Error>, u64) {
    let manifest = machine.store.lookup(key).unwrap();
    let (asked, sent) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let stop = || asked.fetch_add(1, Ordering::SeqCst) >= stop_after;
    let count = |bytes: u64| {
        sent.fetch_add(bytes as usize, Ordering::SeqCst);
    };
    let uploader = Uploader {
        objects,
        store: &machine.store,
        sizes: Sizes { whole: 100, part: 1000 },
        states: states(machine),
        in_flight: &InFlight::default(),
        stop: &stop,
        sent: &count,
    };
    let zeros = manifest.outputs.iter().find(|o| o.name.as_str() == "sub/zeros").unwrap();
    let done = uploader.send(zeros, false);
    (done, sent.into_inner() as u64)
}

fn states(machine: &Machine) -> std::path::PathBuf {
    machine.store.dir().join("uploads/lab")
}

/// The names in the folder of states.
fn left(machine: &Machine) -> Vec<String> {
    let entries = std::fs::read_dir(states(machine)).unwrap();
    entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_large_blob_goes_on_where_it_was_stopped() {
    let (lab, a) = (Lab::new(), Machine::new());
    let key = a.make(1, "hello");
    let zeros = layout::blob(&Digest::of(&[0; 5000]));
    let (done, sent) = send_in_parts(&lab, &a, &key, 3);
    assert!(matches!(done, Err(Error::Stopped)), "{done:?}");
    assert_eq!(
        (sent, lab.objects().size(&zeros).unwrap()),
        (3000, None),
        "nothing is there before the last part"
    );
    assert_eq!(left(&a), [format!("{}.json", Digest::of(&[0; 5000]))], "a state and no lock");
    let (done, sent) = send_in_parts(&lab, &a, &key, usize::MAX);
    assert_eq!((done.unwrap(), sent, lab.objects().size(&zeros).unwrap()), (2000, 2000, Some(5000)));
    let mut whole = Vec::new();
    lab.objects()
        .read(&zeros, &mut |piece| {
            whole.extend_from_slice(piece);
            Ok(())
        })
        .unwrap();
    assert_eq!(whole, [0; 5000]);
    assert_eq!(left(&a), [""; 0]);
}

#[test]
fn an_error_of_the_store_does_not_lose_the_parts_that_were_sent() {
    let (lab, a) = (Lab::new(), Machine::new());
    let key = a.make(1, "hello");
    assert!(send_in_parts(&lab, &a, &key, 3).0.is_err());
    let (done, sent) = send_with(&objects(&lab, true), &a, &key, usize::MAX);
    assert!(matches!(done, Err(Error::Store { .. })) && sent == 0, "{done:?}");
    assert_eq!(left(&a).len(), 1, "the state is kept");
    let (done, sent) = send_in_parts(&lab, &a, &key, usize::MAX);
    assert_eq!((done.unwrap(), sent), (2000, 2000));
}

#[test]
fn an_upload_that_the_store_gave_up_begins_anew() {
    let (lab, a) = (Lab::new(), Machine::new());
    let key = a.make(1, "hello");
    assert!(send_in_parts(&lab, &a, &key, 3).0.is_err());
    // Another store: it does not know the upload.
    let other = Lab::new();
    let (done, sent) = send_in_parts(&other, &a, &key, usize::MAX);
    assert_eq!((done.unwrap(), sent), (5000, 5000));
}

#[test]
fn an_upload_that_another_ended_is_not_begun_anew() {
    let (lab, a, b) = (Lab::new(), Machine::new(), Machine::new());
    let key = a.make(1, "hello");
    assert!(send_in_parts(&lab, &a, &key, 3).0.is_err());
    b.make(1, "hello");
    assert_eq!(send_in_parts(&lab, &b, &key, usize::MAX).0.unwrap(), 5000);
    let (done, sent) = send_in_parts(&lab, &a, &key, usize::MAX);
    assert_eq!((done.unwrap(), sent), (0, 0));
}

#[test]
fn states_of_a_shared_cache_are_shared() {
    use std::os::unix::fs::PermissionsExt;
    let (lab, a) = (Lab::new(), Machine::new());
    let key = a.make(1, "hello");
    std::fs::create_dir_all(a.store.dir().join("uploads")).unwrap();
    std::fs::set_permissions(a.store.dir().join("uploads"), PermissionsExt::from_mode(0o2775)).unwrap();
    assert!(send_in_parts(&lab, &a, &key, 3).0.is_err());
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    let file = states(&a).join(&left(&a)[0]);
    assert_eq!((mode(&states(&a)), mode(&file)), (0o2775, 0o664));
}
