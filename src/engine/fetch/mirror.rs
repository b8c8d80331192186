//! Mirrors: local folders with the files of addresses at `HOST/PATH`, as `wget --force-directories` writes them.

use std::path::{Path, PathBuf};

use xpipe_base::value::InnerPath;

/// The place of an address in a mirror: `HOST/PATH`, without the query. `None` if it would lead out of the mirror.
pub(super) fn place(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("://")?;
    let path = rest.split(['?', '#']).next()?;
    inside(path)
}

/// The file of an address in the first mirror that has one.
pub(super) fn find(mirrors: &[PathBuf], url: &str) -> Option<PathBuf> {
    let (_, rest) = url.split_once("://")?;
    let rest = rest.split('#').next()?;
    let plain = rest.split('?').next()?;
    let (host, path) = plain.split_once('/')?;
    // With the query as wget names it, without it, with %XX decoded, and without the port.
    let bare = host.split(':').next()?;
    let spelled =
        [rest.to_owned(), plain.to_owned(), format!("{host}/{}", decoded(path)), format!("{bare}/{path}")];
    let places: Vec<String> = spelled.iter().filter_map(|s| inside(s)).collect();
    mirrors.iter().flat_map(|m| places.iter().map(|p| m.join(Path::new(p)))).find(|file| file.is_file())
}

/// A path normalised to plain names; `None` if it leads out of its folder.
fn inside(path: &str) -> Option<String> {
    let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty() && *p != ".").collect();
    InnerPath::parse(parts.join("/")).ok().map(String::from)
}

fn decoded(path: &str) -> String {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, more @ ..] = rest {
        let byte = (*first == b'%')
            .then(|| u8::from_str_radix(std::str::from_utf8(more.get(..2)?).ok()?, 16).ok())
            .flatten();
        out.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &more[2..] } else { more };
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_places_below_the_mirror() {
        assert_eq!(place("https://a.org/x/y.zip?download=1").as_deref(), Some("a.org/x/y.zip"));
        assert_eq!(place("https://a.org/../y.zip"), None);
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str| {
            let file = dir.path().join(path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, path).unwrap();
            file
        };
        let mirrors = [dir.path().to_owned()];
        std::fs::write(dir.path().parent().unwrap().join("xpipe-outside"), "").ok();
        for (url, path) in [
            ("https://a.org/x/y.zip", "a.org/x/y.zip"),
            ("https://a.org/x/z.tsv?download=1", "a.org/x/z.tsv"),
            ("https://b.org/q?id=4", "b.org/q?id=4"),
            ("https://c.org/a%20b.txt", "c.org/a b.txt"),
            ("http://127.0.0.1:8080/d", "127.0.0.1/d"),
        ] {
            assert_eq!(find(&mirrors, url), None, "{url}");
            let file = put(path);
            assert_eq!(find(&mirrors, url), Some(file), "{url}");
        }
        assert_eq!(find(&mirrors, "https://../xpipe-outside"), None);
        assert_eq!(find(&mirrors, "https://a.org/%2e%2e/a.org/x/y.zip"), None);
        let _ = std::fs::remove_file(dir.path().parent().unwrap().join("xpipe-outside"));
    }
}
