//! Archives as the `tar` crate and others write them, and as nobody should.

use super::*;

fn entry(kind: u8, name: &str, size: u64, body: &[u8]) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::new(kind));
    header.set_size(size);
    header.set_mode(0o644);
    header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
    header.set_cksum();
    let mut all = header.as_bytes().to_vec();
    all.extend_from_slice(body);
    all.resize(all.len().next_multiple_of(BLOCK), 0);
    all
}

/// Name, kind and text of each member.
fn read(bytes: &[u8]) -> Result<Vec<(String, EntryType, String)>> {
    let (mut tar, mut found) = (Tar::new(bytes), Vec::new());
    while let Some(member) = tar.next_member()? {
        let mut text = String::new();
        tar.read_to_string(&mut text)?;
        assert_eq!(text.len() as u64, member.size);
        found.push((String::from_utf8(member.name).unwrap(), member.kind, text));
    }
    Ok(found)
}

#[test]
fn what_the_tar_crate_writes_is_read() {
    let long = "folder/".repeat(40) + "name.txt";
    let mut builder = tar::Builder::new(Vec::new());
    let files = [("a.txt", "one"), (long.as_str(), "two"), ("empty", ""), ("b.txt", &"x".repeat(1500))];
    for (name, text) in files {
        let mut header = Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    let bytes = builder.into_inner().unwrap();
    let found = read(&bytes).unwrap();
    let expected = files.map(|(n, t)| (n.to_owned(), EntryType::Regular, t.to_owned()));
    assert_eq!(found, expected);
    // Members that nobody reads are passed over.
    let mut tar = Tar::new(bytes.as_slice());
    let mut names = 0;
    while tar.next_member().unwrap().is_some() {
        names += 1;
    }
    assert!(names == 4 && tar.ended);
}

#[test]
fn extended_headers_give_name_and_size() {
    let pax = b"18 path=long/name\n10 size=5\n";
    let bytes = [entry(b'x', "about", pax.len() as u64, pax), entry(b'0', "short", 0, b"hello")].concat();
    let found = read(&bytes).unwrap();
    assert_eq!(found, [("long/name".to_owned(), EntryType::Regular, "hello".to_owned())]);
    let sparse = b"22 GNU.sparse.major=1\n";
    let bytes = [entry(b'x', "about", 22, sparse), entry(b'0', "holes", 2, b"ab")].concat();
    assert_eq!(read(&bytes).unwrap()[0].1, EntryType::GNUSparse);
}

#[test]
fn what_a_header_claims_is_bounded() {
    for (kind, most) in [(b'L', NAME), (b'x', ABOUT)] {
        for claimed in [most + 1, 1 << 32, u64::MAX - 600] {
            // As much as is claimed would follow: nothing of it is read.
            let bytes = entry(kind, "././@LongLink", claimed, &[b'a'; 2048]);
            let e = read(&bytes).unwrap_err();
            assert!(e.to_string().contains("at most"), "{e}");
        }
        let cut = entry(kind, "././@LongLink", most, &[b'a'; 2048]);
        assert_eq!(read(&cut).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    }
    // Passed over without being held.
    let link = [entry(b'K', "link", 1 << 21, &vec![b'a'; 1 << 21]), entry(b'0', "a", 1, b"x")].concat();
    assert_eq!(read(&link).unwrap().len(), 1);
    let pax = b"29 size=18446744073709551615\n";
    let bytes = [entry(b'x', "about", 29, pax), entry(b'0', "a", 0, b"")].concat();
    assert!(read(&bytes).unwrap_err().to_string().contains("damaged"));
}

#[test]
fn cut_and_damaged_archives_are_errors() {
    let bytes = [entry(b'0', "a", 600, &[b'x'; 600]), entry(b'0', "b", 1, b"y")].concat();
    for cut in [1, 511, 512 + 600, 1536 + 100] {
        let e = Tar::new(&bytes[..cut]);
        let mut e = e;
        let mut result = Ok(None);
        for _ in 0..3 {
            result = e.next_member();
            if result.is_err() {
                break;
            }
        }
        assert_eq!(result.unwrap_err().kind(), ErrorKind::UnexpectedEof, "{cut}");
    }
    let mut tar = Tar::new(bytes.as_slice());
    while tar.next_member().unwrap().is_some() {}
    assert!(!tar.ended, "no mark of the end");
    let mut damaged = bytes;
    damaged[3] = b'q';
    assert!(read(&damaged).unwrap_err().to_string().contains("check sum"));
}
