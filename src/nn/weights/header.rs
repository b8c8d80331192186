//! Tensors of a weight file from its header, without reading the numbers; checks that all of them are there.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use safetensors::tensor::Metadata;

use super::tensor::TensorHeader;
use super::torch_file;
use xpipe_base::task::Failure;

/// Maximum bytes of a header. Those of the largest encoders are below one megabyte.
const MAX_HEADER: u64 = 100 << 20;

/// The tensors of a file; `None` for torch's older format, which has no header.
///
/// # Errors
/// When the file is truncated or of another format.
pub(super) fn read(path: &Path) -> Result<Option<Vec<TensorHeader>>, Failure> {
    if path.extension().is_some_and(|e| e == "bin") {
        return torch_file::describe(path);
    }
    safetensors(path).map(Some).map_err(|what| {
        Failure::wrong(format!("{}: not a whole safetensors file: {what}", path.display()))
            .help("it may be cut off, or a Git LFS pointer instead of the file")
    })
}

fn safetensors(path: &Path) -> Result<Vec<TensorHeader>, String> {
    let off = |e: std::io::Error| e.to_string();
    let mut file = File::open(path).map_err(off)?;
    let size = file.metadata().map_err(off)?.len();
    let mut head = vec![0; 8];
    file.read_exact(&mut head).map_err(off)?;
    let length = head.iter().rev().fold(0u64, |n, b| n << 8 | u64::from(*b));
    if length > MAX_HEADER || length > size {
        return Err(format!("its header would be {length} bytes long"));
    }
    head.clear();
    file.take(length).read_to_end(&mut head).map_err(off)?;
    let metadata: Metadata = serde_json::from_slice(&head).map_err(|e| e.to_string())?;
    let whole = 8 + length + metadata.data_len() as u64;
    if size != whole {
        return Err(format!("it has {size} bytes and its header says {whole}"));
    }
    let all = metadata.tensors().into_iter();
    Ok(all.map(|(name, t)| TensorHeader { name, shape: t.shape.clone(), kind: t.dtype }).collect())
}
