//! Files from mirrors, and their members: what is refused, and that nothing of it is kept.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::*;
use xpipe_testing::archives::{FILE, gzip, tar, tar_header, zip, zip_of};

use crate::cache::Store;
use xpipe_base::task::{Failure, FailureKind, Silent};
use xpipe_base::value::{Checksum, Digest};

const LINK: u32 = 0o120_777;
const FOLDER: u32 = 0o040_755;
const URL: &str = "https://lab.org/data/x.archive";

/// A cache and a mirror that has the bytes at [`URL`].
struct Place {
    dir: tempfile::TempDir,
    store: Store,
}

impl Place {
    fn with(bytes: &[u8]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("cache")).unwrap();
        let place = Self { dir, store };
        place.put(bytes);
        place
    }

    fn put(&self, bytes: &[u8]) {
        let file = self.mirror().join("lab.org/data/x.archive");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
    }

    fn mirror(&self) -> PathBuf {
        self.dir.path().join("mirror")
    }

    fn bring(&self, want: &FetchRequest) -> Result<Fetched, Failure> {
        let sources = Sources { offline: true, mirrors: vec![self.mirror()] };
        fetch(want, &self.store, &sources, &Silent)
    }

    fn text(&self, got: &Fetched, member: Option<&str>) -> String {
        std::fs::read_to_string(self.store.download(URL, &got.digest).path(member)).unwrap()
    }

    /// Every file below the folder of downloads but records.
    fn kept(&self) -> Vec<String> {
        let mut all = Vec::new();
        walk(&self.store.dir().join("downloads"), &mut all);
        all.retain(|n| n != "record.json");
        all.sort();
        all
    }
}

fn walk(folder: &Path, out: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.path().is_dir() {
            true => walk(&entry.path(), out),
            false => out.push(entry.file_name().to_string_lossy().into_owned()),
        }
    }
}

fn want(members: &[&str]) -> FetchRequest {
    let members: BTreeSet<String> = members.iter().map(|m| (*m).to_owned()).collect();
    FetchRequest {
        url: URL.into(),
        digest: None,
        declared: "study.xpipe:1:1".into(),
        whole: members.is_empty(),
        members,
    }
}

#[test]
fn members_of_every_kind_of_archive_are_unpacked_once() {
    let files: [(&str, &[u8]); 3] = [("./a/docs.tsv", b"1\tone\n"), ("a/other", b"x"), ("a/b.gz", b"packed")];
    for bytes in [tar(&files), gzip(&tar(&files)), zip(&files)] {
        let place = Place::with(&bytes);
        let got = place.bring(&want(&["a/docs.tsv", "a/b.gz"])).unwrap();
        assert!(matches!(got.origin, Origin::Mirror(_)));
        assert_eq!(place.text(&got, Some("a/docs.tsv")), "1\tone\n");
        assert_eq!(place.text(&got, Some("a/b.gz")), "packed", "only what is asked for is unpacked");
        assert_eq!(place.kept(), ["b.gz", "docs.tsv", "x.archive"]);
        // Nothing is read again, the mirror may be gone.
        std::fs::remove_dir_all(place.mirror()).unwrap();
        let again = FetchRequest { digest: Some(got.digest.clone()), ..want(&["a/docs.tsv"]) };
        assert_eq!(place.bring(&again).unwrap().origin, Origin::Cache);
        // A member more is unpacked from the archive that is here.
        let more = FetchRequest { digest: Some(got.digest.clone()), ..want(&["a/docs.tsv", "a/other"]) };
        assert_eq!(place.bring(&more).unwrap().origin, Origin::Cache);
        assert_eq!(place.text(&got, Some("a/other")), "x");
    }
}

#[test]
fn a_member_that_is_not_there_names_the_nearest() {
    let files: [(&str, &[u8]); 3] =
        [("lotte/writing/test/collection.tsv", b"1\tx\n"), ("lotte/a", b""), ("b", b"")];
    for bytes in [gzip(&tar(&files)), zip(&files)] {
        let e = Place::with(&bytes).bring(&want(&["writing/test/collection.tsv"])).unwrap_err();
        assert!(e.message.contains("there is no member `writing/test/collection.tsv`"), "{e}");
        let help = e.help.unwrap();
        assert!(
            help.starts_with("the nearest of its 3 members are `lotte/writing/test/collection.tsv`"),
            "{help}"
        );
    }
    let e = Place::with(b"1\tno archive\n").bring(&want(&["a"])).unwrap_err();
    assert!(e.message.contains("not a whole zip, tar or tar.gz archive"), "{e}");
}

#[test]
fn names_that_lead_out_are_refused() {
    for name in ["../evil", "a/../../evil", "/etc/evil", "..\\evil"] {
        for bytes in [tar(&[(name, b"x"), ("good", b"y")]), zip(&[(name, b"x"), ("good", b"y")])] {
            let place = Place::with(&bytes);
            for asked in [name, "good"] {
                let e = place.bring(&want(&[asked])).unwrap_err();
                assert!(e.message.contains("would lead out of the folder"), "{name}: {e}");
            }
            assert_eq!(place.kept(), ["x.archive"], "{name}");
            assert!(!place.dir.path().join("evil").exists() && !Path::new("/etc/evil").exists());
        }
    }
}

#[test]
fn links_and_folders_are_refused() {
    for kind in
        [tar::EntryType::Symlink, tar::EntryType::Link, tar::EntryType::Directory, tar::EntryType::Fifo]
    {
        let mut builder = tar::Builder::new(Vec::new());
        builder.append(&tar_header(kind, "docs.tsv", "/etc/passwd", 0), std::io::empty()).unwrap();
        let place = Place::with(&builder.into_inner().unwrap());
        let e = place.bring(&want(&["docs.tsv"])).unwrap_err();
        assert!(e.message.contains("only files are unpacked"), "{kind:?}: {e}");
        assert_eq!(place.kept(), ["x.archive"]);
    }
    let place =
        Place::with(&zip_of(&[("docs.tsv", b"/etc/passwd", LINK, None), ("folder/", b"", FOLDER, None)]));
    for (member, said) in [("docs.tsv", "is a link"), ("folder/", "is not a file")] {
        let e = place.bring(&want(&[member])).unwrap_err();
        assert!(e.message.contains(said), "{e}");
    }
}

#[test]
fn what_unpacks_to_far_too_much_is_refused() {
    let zeros = vec![0; (16 << 20) + 1];
    // The last one says that it is small: its bytes are counted too.
    let lies = zip_of(&[("bomb", &zeros, FILE, Some(1000))]);
    for bytes in [gzip(&tar(&[("bomb", &zeros)])), zip(&[("bomb", &zeros)]), lies] {
        assert!(bytes.len() < 150_000);
        let place = Place::with(&bytes);
        let e = place.bring(&want(&["bomb"])).unwrap_err();
        assert!(e.message.contains("unpacks to more than 16.0 MiB"), "{e}");
        assert_eq!(place.kept(), ["x.archive"]);
    }
}

#[test]
fn a_damaged_archive_is_named_and_a_cut_one_too() {
    let text: String = (0..9000).map(|i| format!("{i}\t{}\n", i * 7919 % 1000)).collect();
    for whole in [gzip(&tar(&[("a", text.as_bytes())])), zip(&[("a", text.as_bytes())])] {
        let half = whole.len() / 2;
        for bytes in [&whole[..half], &[&whole[..half], &[0xFF; 64], &whole[half + 64..]].concat()] {
            let place = Place::with(bytes);
            let e = place.bring(&want(&["a"])).unwrap_err();
            let said = ["the gzip file is damaged or cut short", "not a whole zip, tar or tar.gz archive"];
            assert!(said.iter().any(|s| e.message.contains(s)), "{e}");
            assert!(!place.kept().contains(&"a".to_owned()), "{:?}", place.kept());
        }
    }
    // A gzip file without a digest is not kept when its check sum is wrong, though nobody asks for a member.
    let mut bytes = gzip(text.as_bytes());
    let sum = bytes.len() - 8;
    bytes[sum] ^= 1;
    let place = Place::with(&bytes);
    assert!(place.bring(&want(&[])).unwrap_err().message.contains("the gzip file is damaged"));
    assert_eq!(place.kept(), [""; 0]);
    // Whole, but of another content than its check sum says.
    let mut bytes = zip(&[("a", b"abc")]);
    let sum = 0x3524_41C2u32.to_le_bytes();
    let places: Vec<usize> = (0..bytes.len() - 4).filter(|i| bytes[*i..*i + 4] == sum).collect();
    assert_eq!(places.len(), 2, "CRC-32 of `abc`, here and in the directory");
    places.iter().for_each(|at| bytes[*at] ^= 1);
    let e = Place::with(&bytes).bring(&want(&["a"])).unwrap_err();
    assert!(e.message.contains("the checksum of `a` is wrong"), "{e}");
}

#[test]
fn another_digest_is_refused_and_not_kept() {
    let place = Place::with(b"abc");
    let right = "md5:900150983cd24fb0d6963f7d28e17f72";
    let asked = |digest: &str| FetchRequest { digest: Some(Checksum::parse(digest).unwrap()), ..want(&[]) };
    let wrong = asked("md5:00000000000000000000000000000000");
    let e = place.bring(&wrong).unwrap_err();
    assert!(e.message.contains(right) && e.message.contains("study.xpipe:1:1 says md5:0000"), "{e}");
    assert_eq!(place.kept(), [""; 0]);
    let got = place.bring(&asked(right)).unwrap();
    assert_eq!((got.size, place.text(&got, None)), (3, "abc".to_owned()));
    // Changed on disk: it is brought again.
    let path = place.store.download(URL, &got.digest).path(None);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "abd").unwrap();
    assert!(matches!(place.bring(&asked(right)).unwrap().origin, Origin::Mirror(_)));
    assert_eq!(place.text(&got, None), "abc");
    // And a mirror that changed is told from it.
    place.put(b"abd");
    assert_eq!(place.bring(&asked(right)).unwrap().origin, Origin::Cache);
}

#[test]
fn what_is_in_no_mirror_is_missing_without_network() {
    let place = Place::with(b"abc");
    let other = FetchRequest { url: "https://lab.org/data/y.tsv?v=2".into(), ..want(&[]) };
    let e = place.bring(&other).unwrap_err();
    assert_eq!(e.kind, FailureKind::Missing);
    assert!(e.message.contains("https://lab.org/data/y.tsv?v=2 is not on this machine (not in"), "{e}");
    assert!(e.help.unwrap().contains("DIR/lab.org/data/y.tsv"));
}

#[test]
fn without_a_digest_the_first_content_is_given_back_and_used_again() {
    let place = Place::with(b"abc");
    let got = place.bring(&want(&[])).unwrap();
    assert_eq!(
        got.digest.to_string(),
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
    place.put(b"later");
    let again = place.bring(&want(&[])).unwrap();
    assert_eq!((again.origin, again.digest), (Origin::Cache, got.digest));
    assert_ne!(Digest::of(b"abc"), Digest::of(b"later"));
}
