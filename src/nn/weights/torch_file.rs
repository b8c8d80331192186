//! `pytorch_model.bin`: the dictionary of tensors that `torch.save` writes, as a zip archive or in the older format.
//!
//! **Source:** torch `serialization.py` (`_save`, `_legacy_save`) and `_utils._rebuild_tensor_v2`.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use safetensors::Dtype;

use super::pickle::{Reader, Value};
use super::tensor::TensorHeader;
use xpipe_base::task::Failure;

/// The first bytes of the older format: a pickle of its magic number.
const LEGACY: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

/// Maximum bytes of a description of tensors. Those of the largest encoders are below one megabyte.
const MAX_DESCRIPTION: u64 = 64 << 20;

/// A tensor with its numbers in row-major order.
#[derive(Debug)]
pub(super) struct TorchTensor {
    pub name: String,
    pub shape: Vec<usize>,
    pub kind: Dtype,
    pub bytes: Vec<u8>,
}

/// Location of a tensor's numbers.
struct StorageSlice {
    name: String,
    shape: Vec<usize>,
    strides: Vec<usize>,
    first: usize,
    kind: Dtype,
    key: String,
}

/// Reads all tensors of a file, in the order of the file.
///
/// # Errors
/// When it is of another format, damaged, or refers to more than tensors.
pub(super) fn read(path: &Path) -> Result<Vec<TorchTensor>, Failure> {
    let wrong = |what: String| {
        Failure::wrong(format!("{}: not a file of weights: {what}", path.display())).help(
            "it may be cut off, or a Git LFS pointer; a file with more than tensors in it is never read",
        )
    };
    let mut file = std::fs::File::open(path)?;
    let mut head = [0; 2];
    if file.read_exact(&mut head).is_ok() && &head == b"PK" {
        return zipped(file).map_err(wrong);
    }
    legacy(&std::fs::read(path)?).map_err(wrong)
}

type Archive = zip::ZipArchive<std::io::BufReader<std::fs::File>>;

/// The tensors of a file without their numbers, after a check that those are there. `None` for the older format, whose
/// sizes are between the numbers.
///
/// # Errors
/// As [`read`].
pub(super) fn describe(path: &Path) -> Result<Option<Vec<TensorHeader>>, Failure> {
    let wrong = |what: String| {
        Failure::wrong(format!("{}: not a file of weights: {what}", path.display())).help(
            "it may be cut off, or a Git LFS pointer; a file with more than tensors in it is never read",
        )
    };
    let mut file = std::fs::File::open(path)?;
    let mut head = [0; LEGACY.len()];
    let read = file.read(&mut head)?;
    if head.starts_with(b"PK") {
        return described(file).map(Some).map_err(wrong);
    }
    match &head[..read] == LEGACY {
        true => Ok(None),
        false => Err(wrong("neither a zip archive nor torch's older form".into())),
    }
}

fn described(file: std::fs::File) -> Result<Vec<TensorHeader>, String> {
    let (mut archive, folder, places) = opened(file)?;
    let mut all = Vec::new();
    for p in places {
        let name = format!("{folder}data/{}", p.key);
        let entry = archive.by_name(&name).map_err(|e| format!("storage `{name}`: {e}"))?;
        let last = p
            .shape
            .iter()
            .zip(&p.strides)
            .try_fold(p.first, |at, (n, stride)| n.checked_sub(1)?.checked_mul(*stride)?.checked_add(at));
        let empty = p.shape.contains(&0);
        let end = last.and_then(|n| n.checked_add(1)?.checked_mul(width(p.kind))).map(|n| n as u64);
        if !empty && end.is_none_or(|end| end > entry.size()) {
            return Err(format!("`{}` is outside its storage", p.name));
        }
        all.push(TensorHeader { name: p.name, shape: p.shape, kind: p.kind });
    }
    Ok(all)
}

/// The archive, the folder in it, and the description of its tensors.
fn opened(file: std::fs::File) -> Result<(Archive, String, Vec<StorageSlice>), String> {
    let off = |e: &dyn std::fmt::Display| e.to_string();
    let mut archive = zip::ZipArchive::new(std::io::BufReader::new(file)).map_err(|e| off(&e))?;
    let mut description = None;
    for i in 0..archive.len() {
        let entry = archive.by_index_raw(i).map_err(|e| off(&e))?;
        if let Some(folder) = entry.name().map_err(|e| off(&e))?.strip_suffix("data.pkl") {
            description = Some((i, folder.to_owned()));
        }
    }
    let (at, folder) = description.ok_or("no data.pkl in the archive")?;
    let mut bytes = Vec::new();
    let entry = archive.by_index(at).map_err(|e| off(&e))?;
    entry.take(MAX_DESCRIPTION).read_to_end(&mut bytes).map_err(|e| off(&e))?;
    let places = places(&Reader::new(&bytes).value()?)?;
    Ok((archive, folder, places))
}

fn zipped(file: std::fs::File) -> Result<Vec<TorchTensor>, String> {
    let (mut archive, folder, places) = opened(file)?;
    let mut storages: HashMap<String, Vec<u8>> = HashMap::new();
    for place in &places {
        if !storages.contains_key(&place.key) {
            let name = format!("{folder}data/{}", place.key);
            let mut entry = archive.by_name(&name).map_err(|e| format!("storage `{name}`: {e}"))?;
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).map_err(|e| format!("storage `{name}`: {e}"))?;
            storages.insert(place.key.clone(), bytes);
        }
    }
    gather(places, |key| storages.get(key).map(Vec::as_slice))
}

fn legacy(bytes: &[u8]) -> Result<Vec<TorchTensor>, String> {
    let rest = bytes.strip_prefix(LEGACY).ok_or("neither a zip archive nor torch's older form")?;
    let mut reader = Reader::new(rest);
    if reader.value()?.int() != Some(1001) {
        return Err("another version of torch's older form".into());
    }
    reader.value()?; // of the machine that wrote it
    let places = places(&reader.value()?)?;
    let Value::List(keys) = reader.value()? else { return Err("no list of storages".into()) };
    let mut rest = reader.rest();
    let mut storages: HashMap<String, &[u8]> = HashMap::new();
    for key in keys.borrow().iter() {
        let key = key.text().ok_or("a storage without a key")?;
        let (count, after) = rest.split_at_checked(8).ok_or("it ends before its numbers")?;
        let count = count.iter().rev().fold(0usize, |x, b| x << 8 | usize::from(*b));
        let size = places.iter().find(|p| p.key == key).map(|p| width(p.kind));
        let size = size.ok_or("a storage that no tensor has")?;
        let length = count.checked_mul(size).ok_or("a storage of impossible size")?;
        let (own, after) = after.split_at_checked(length).ok_or("it ends inside its numbers")?;
        storages.insert(key.to_owned(), own);
        rest = after;
    }
    gather(places, |key| storages.get(key).copied())
}

/// The tensors that a dictionary describes. Other entries are skipped.
fn places(value: &Value) -> Result<Vec<StorageSlice>, String> {
    let Value::Dict(dict) = value else { return Err("it holds no dictionary of tensors".into()) };
    let dict = dict.borrow();
    dict.iter()
        .map(|(name, value)| {
            let name = name.text().ok_or("a tensor without a name")?;
            place(name, value).ok_or_else(|| format!("`{name}` is not a tensor of a known kind"))
        })
        .collect()
}

fn place(name: &str, value: &Value) -> Option<StorageSlice> {
    let Value::Made(made) = value else { return None };
    let (function, arguments) = (made.0.name()?, made.1.tuple()?);
    if function == "torch._utils._rebuild_parameter" {
        return place(name, arguments.first()?);
    }
    let [Value::Outside(storage), first, shape, strides, ..] = arguments else { return None };
    let [_, kind, key, ..] = storage.tuple()? else { return None };
    let kind = match kind.name()? {
        "torch.FloatStorage" => Dtype::F32,
        "torch.HalfStorage" => Dtype::F16,
        "torch.BFloat16Storage" => Dtype::BF16,
        "torch.DoubleStorage" => Dtype::F64,
        "torch.LongStorage" => Dtype::I64,
        "torch.IntStorage" => Dtype::I32,
        "torch.BoolStorage" => Dtype::BOOL,
        "torch.ByteStorage" => Dtype::U8,
        _ => return None,
    };
    let (shape, strides) = (shape.counts()?, strides.counts()?);
    (shape.len() == strides.len()).then_some(())?;
    let first = usize::try_from(first.int()?).ok()?;
    Some(StorageSlice { name: name.to_owned(), shape, strides, first, kind, key: key.text()?.to_owned() })
}

/// Bytes of a number.
fn width(kind: Dtype) -> usize {
    match kind {
        Dtype::F64 | Dtype::I64 => 8,
        Dtype::F32 | Dtype::I32 => 4,
        Dtype::F16 | Dtype::BF16 => 2,
        _ => 1,
    }
}

fn gather<'a>(
    places: Vec<StorageSlice>,
    storage: impl Fn(&str) -> Option<&'a [u8]>,
) -> Result<Vec<TorchTensor>, String> {
    places
        .into_iter()
        .map(|p| {
            let short = || format!("`{}` is outside its storage", p.name);
            let (numbers, size) = (storage(&p.key).ok_or_else(short)?, width(p.kind));
            let count = p.shape.iter().try_fold(1usize, |n, s| n.checked_mul(*s)).ok_or_else(short)?;
            // Views may have more elements than their storage, but no weight needs more than this file holds.
            if count > numbers.len() / size {
                return Err(short());
            }
            let mut bytes = Vec::with_capacity(count * size);
            let mut at = vec![0usize; p.shape.len()];
            for _ in 0..count {
                let offset = at
                    .iter()
                    .zip(&p.strides)
                    .try_fold(p.first, |sum, (i, s)| i.checked_mul(*s).and_then(|x| sum.checked_add(x)))
                    .and_then(|n| n.checked_mul(size))
                    .ok_or_else(short)?;
                let end = offset.checked_add(size).ok_or_else(short)?;
                bytes.extend_from_slice(numbers.get(offset..end).ok_or_else(short)?);
                for (i, n) in at.iter_mut().zip(&p.shape).rev() {
                    *i += 1;
                    if *i < *n {
                        break;
                    }
                    *i = 0;
                }
            }
            Ok(TorchTensor { name: p.name, shape: p.shape, kind: p.kind, bytes })
        })
        .collect()
}
