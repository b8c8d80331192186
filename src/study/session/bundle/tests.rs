//! Which folder a bundle is of, what it takes of a folder, and under which names.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use super::*;

#[test]
fn the_root_of_the_file_system_is_no_folder_of_a_study() {
    let of = |files: &[&str]| {
        let files: Vec<PathBuf> = files.iter().map(PathBuf::from).collect();
        common_folder(Path::new("/work/lab/s.xpipe"), &files)
    };
    assert_eq!(of(&["/work/lab/s.xpipe", "/work/lab/parts/a.xpipe"]).unwrap(), Path::new("/work/lab"));
    assert_eq!(of(&["/work/lab/s.xpipe", "/work/shared/a.xpipe"]).unwrap(), Path::new("/work"));
    let error = of(&["/work/lab/s.xpipe", "/elsewhere/a.xpipe"]).unwrap_err().to_string();
    assert!(error.contains("no folder in common but `/`"), "{error}");
    assert!(common_folder(Path::new("/s.xpipe"), &[]).is_err());
}

#[test]
fn the_size_of_a_folder_is_that_of_what_a_bundle_takes_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("data");
    std::fs::create_dir_all(folder.join(".git")).unwrap();
    std::fs::create_dir(folder.join("sub")).unwrap();
    for (name, text) in
        [("a", "123"), ("sub/b", "45"), (".git/pack", "not taken"), (".DS_Store", "not taken")]
    {
        std::fs::write(folder.join(name), text).unwrap();
    }
    let mut taken = Vec::new();
    add_folder(dir.path(), &folder, "", &mut taken).unwrap();
    let mut names: Vec<&str> = taken.iter().map(|a| a.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!((names, size(&folder).unwrap()), (vec!["data/a", "data/sub/b"], 5));
    std::os::unix::fs::symlink("nowhere", folder.join("link")).unwrap();
    let of_size = size(&folder).unwrap_err().to_string();
    let of_adding = add_folder(dir.path(), &folder, "", &mut taken).unwrap_err().to_string();
    for error in [of_size, of_adding] {
        assert!(error.contains("data/link"), "the error names the link: {error}");
    }
}

#[test]
fn a_name_that_is_not_utf8_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for bytes in [&b"x\xfe"[..], b"x\xff"] {
        std::fs::write(dir.path().join(OsStr::from_bytes(bytes)), "1").unwrap();
    }
    let error = add_folder(dir.path(), dir.path(), "", &mut Vec::new()).unwrap_err().to_string();
    assert!(error.contains("its name is not UTF-8"), "{error}");
}
