//! A PEFT adapter and its base model in one folder: links to the files of both, which the loader merges.

use std::path::{Path, PathBuf};

use xpipe_base::task::Failure;
use xpipe_nn::files;

/// The failure of a file operation, with the path.
fn at(path: &Path, e: &std::io::Error) -> Failure {
    Failure::missing(format!("{}: {e}", path.display()))
}

/// The base model of an adapter, and the revision that it names.
pub(super) fn base(adapter: &Path) -> Result<(String, Option<String>), Failure> {
    let path = adapter.join(files::ADAPTER);
    let bytes = std::fs::read(&path).map_err(|e| at(&path, &e))?;
    let json: serde_json::Value = serde_json::from_slice(&bytes)
        .map_err(|e| Failure::wrong(format!("{}: not JSON: {e}", path.display())))?;
    let revision = json["revision"].as_str().map(str::to_owned);
    match json["base_model_name_or_path"].as_str().filter(|b| !b.is_empty()) {
        Some(base) => Ok((base.to_owned(), revision)),
        None => Err(Failure::wrong(format!(
            "{}: it does not say of which model (`base_model_name_or_path`)",
            path.display()
        ))
        .help("merge the adapter with PEFT's `merge_and_unload()`, and give the folder of the result")),
    }
}

/// The folder with the files of both, below `root`. It is made when it is not there.
pub(super) fn joined(adapter: &Path, base: &Path, root: &Path) -> Result<PathBuf, Failure> {
    let of = |folder: &Path| -> Result<Vec<String>, Failure> {
        let Ok(chosen) = files::choose(|f| Ok::<_, std::convert::Infallible>(folder.join(f).is_file()));
        let mut names = chosen.files;
        for file in names.clone() {
            let path = folder.join(&file);
            let text = if file.ends_with(".json") {
                std::fs::read(&path).map_err(|e| at(&path, &e))?
            } else {
                Vec::new()
            };
            let named = files::named_in(&file, &text).unwrap_or_default();
            names.extend(named.into_iter().filter(|n| folder.join(n).is_file()));
        }
        Ok(names)
    };
    let words = |name: &String| {
        name == files::TOKENIZER
            || name.starts_with("tokenizer_config")
            || name == "special_tokens_map.json"
            || name == "added_tokens.json"
            || files::VOCABULARIES.iter().any(|form| form.contains(&name.as_str()))
    };
    let own = of(adapter)?;
    let tokenizes = own
        .iter()
        .any(|n| n == files::TOKENIZER || files::VOCABULARIES.iter().any(|f| f.contains(&n.as_str())));
    let mut links: Vec<(String, PathBuf)> = Vec::new();
    for name in own.iter().filter(|n| tokenizes && words(n) || n.starts_with("adapter_")) {
        links.push((name.clone(), adapter.join(name)));
    }
    for name in of(base)?.into_iter().filter(|n| !(tokenizes && words(n))) {
        links.push((name.clone(), base.join(&name)));
    }
    links.sort();
    let text: String = links.iter().map(|(name, to)| format!("{name}\0{}\n", to.display())).collect();
    let place = root.join(&blake3::hash(text.as_bytes()).to_hex()[..32]);
    if place.join(files::JOINED).is_file() {
        return Ok(place);
    }
    xpipe_base::modes::make_folder(root).map_err(|e| at(root, &e))?;
    let grows = tempfile::tempdir_in(root).map_err(|e| at(root, &e))?;
    for (name, to) in links {
        let link = grows.path().join(name);
        std::fs::create_dir_all(link.parent().unwrap_or(root)).map_err(|e| at(&link, &e))?;
        std::os::unix::fs::symlink(to, &link).map_err(|e| at(&link, &e))?;
    }
    let mark = grows.path().join(files::JOINED);
    std::fs::write(&mark, "{\"format\": 1}\n").map_err(|e| at(&mark, &e))?;
    let made = grows.keep();
    if let Err(e) = std::fs::rename(&made, &place) {
        let _ = std::fs::remove_dir_all(&made);
        // Another process has made it.
        if !place.join(files::JOINED).is_file() {
            return Err(at(&place, &e));
        }
    }
    Ok(place)
}
