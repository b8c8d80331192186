//! Reading and writing weights: names, shapes, kinds, shards, heads, damage.

use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::*;
use crate::cpu::CpuReranker;
use crate::testing;
use safetensors::SafeTensors;
use xpipe_base::task::FailureKind;

/// The tensors of the committed BERT fixture: (name, shape, numbers).
fn bert() -> Vec<(String, Vec<usize>, Vec<f32>)> {
    let c = Checkpoint::load(&testing::fixture("bert"), 0).unwrap();
    c.parameters
        .iter()
        .map(|p| (p.name.clone(), p.shape.clone(), c.weights[p.offset..p.offset + p.len()].to_vec()))
        .collect()
}

fn write(path: &Path, tensors: &[(String, Vec<usize>, Vec<f32>)], kind: Dtype) {
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, _, x)| match kind {
            Dtype::BF16 => x.iter().flat_map(|x| ((x.to_bits() >> 16) as u16).to_le_bytes()).collect(),
            Dtype::F64 => x.iter().flat_map(|x| f64::from(*x).to_le_bytes()).collect(),
            _ => x.iter().flat_map(|x| x.to_le_bytes()).collect(),
        })
        .collect();
    let views = tensors
        .iter()
        .zip(&bytes)
        .map(|((n, s, _), b)| (n.as_str(), TensorView::new(kind, s.clone(), b).unwrap()));
    safetensors::serialize_to_file(views, None, path).unwrap();
}

/// A folder with the fixture's configuration and these tensors.
fn folder(tensors: &[(String, Vec<usize>, Vec<f32>)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(testing::fixture("bert").join("config.json"), dir.path().join("config.json")).unwrap();
    write(&dir.path().join("model.safetensors"), tensors, Dtype::F32);
    dir
}

fn failure(tensors: &[(String, Vec<usize>, Vec<f32>)]) -> Failure {
    Checkpoint::load(folder(tensors).path(), 0).unwrap_err()
}

#[test]
fn saving_and_loading_gives_the_same_bytes() {
    let c = Checkpoint::load(&testing::fixture("bert"), 0).unwrap();
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    save(&*c.model, &c.parameters, &c.weights, a.path()).unwrap();
    let again = Checkpoint::load(a.path(), 9).unwrap();
    assert_eq!(again.weights, c.weights);
    assert!(again.drawn.is_empty() && again.ignored.is_empty());
    save(&*again.model, &again.parameters, &again.weights, b.path()).unwrap();
    for file in ["config.json", "model.safetensors"] {
        let read = |d: &tempfile::TempDir| std::fs::read(d.path().join(file)).unwrap();
        assert_eq!(read(&a), read(&b), "{file}");
    }
    let header = std::fs::read(a.path().join("model.safetensors")).unwrap();
    let (_, metadata) = SafeTensors::read_metadata(&header).unwrap();
    assert_eq!(metadata.metadata().as_ref().unwrap()["format"], "pt");
}

#[test]
fn old_names_without_prefix_and_buffers_load_the_same() {
    let mut tensors = bert();
    for (name, _, _) in &mut tensors {
        *name = name.trim_start_matches("bert.").replace("LayerNorm.weight", "LayerNorm.gamma");
        *name = name.replace("LayerNorm.bias", "LayerNorm.beta");
    }
    tensors.push(("cls.predictions.bias".into(), vec![2], vec![0.0; 2]));
    tensors.push(("embeddings.position_ids".into(), vec![1, 2], vec![0.0; 2]));
    let c = Checkpoint::load(folder(&tensors).path(), 0).unwrap();
    assert_eq!(c.weights, Checkpoint::load(&testing::fixture("bert"), 0).unwrap().weights);
    assert_eq!(c.ignored, ["cls.predictions.bias", "embeddings.position_ids"]);
}

#[test]
fn shards_load_the_same_and_a_broken_promise_is_named() {
    let tensors = bert();
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(testing::fixture("bert").join("config.json"), dir.path().join("config.json")).unwrap();
    let (one, two) = tensors.split_at(7);
    write(&dir.path().join("model-1.safetensors"), one, Dtype::F32);
    write(&dir.path().join("model-2.safetensors"), two, Dtype::F32);
    let index = |extra: Option<&str>| {
        let mut map = serde_json::Map::new();
        one.iter().for_each(|t| drop(map.insert(t.0.clone(), "model-1.safetensors".into())));
        two.iter().for_each(|t| drop(map.insert(t.0.clone(), "model-2.safetensors".into())));
        extra.into_iter().for_each(|t| drop(map.insert(t.into(), "model-2.safetensors".into())));
        let text = serde_json::json!({"metadata": {}, "weight_map": map}).to_string();
        std::fs::write(dir.path().join("model.safetensors.index.json"), text).unwrap();
    };
    index(None);
    let c = Checkpoint::load(dir.path(), 0).unwrap();
    assert_eq!(c.weights, Checkpoint::load(&testing::fixture("bert"), 0).unwrap().weights);
    index(Some("bert.ghost"));
    assert!(Checkpoint::load(dir.path(), 0).unwrap_err().message.contains("`bert.ghost`"));
    std::fs::remove_file(dir.path().join("model-2.safetensors")).unwrap();
    let e = Checkpoint::load(dir.path(), 0).unwrap_err();
    assert!(e.message.contains("`model-2.safetensors`") && e.kind == FailureKind::Missing, "{e}");
}

#[test]
fn an_index_of_shards_names_files_of_its_folder_only() {
    let tensors = bert();
    let (outer, inside) = (tempfile::tempdir().unwrap(), "model");
    let dir = outer.path().join(inside);
    std::fs::create_dir_all(dir.join("parts")).unwrap();
    std::fs::copy(testing::fixture("bert").join("config.json"), dir.join("config.json")).unwrap();
    let place = |name: &str| write(&dir.join(name), &tensors, Dtype::F32);
    ["../stray.safetensors", ".hidden.safetensors", "parts/one.safetensors"].into_iter().for_each(place);
    let load = |name: &str| {
        let map: serde_json::Map<_, _> = tensors.iter().map(|t| (t.0.clone(), name.into())).collect();
        let text = serde_json::json!({"metadata": {}, "weight_map": map}).to_string();
        std::fs::write(dir.join("model.safetensors.index.json"), text).unwrap();
        Checkpoint::load(&dir, 0).map(|_| ()).map_err(|e| e.message)
    };
    assert_eq!(load("parts/one.safetensors"), Ok(()));
    let absolute = outer.path().join("stray.safetensors").display().to_string();
    for (name, why) in [
        ("../stray.safetensors", "leads out"),
        ("parts/../../stray.safetensors", "leads out"),
        (&absolute, "leads out"),
        (".hidden.safetensors", "hidden"),
        ("./parts/one.safetensors", "plain path"),
    ] {
        let e = load(name).unwrap_err();
        assert!(e.contains(why), "{name}: {e}");
    }
}

#[test]
fn bfloat16_loads_as_its_upper_halves() {
    let tensors = bert();
    let dir = folder(&tensors);
    write(&dir.path().join("model.safetensors"), &tensors, Dtype::BF16);
    let c = Checkpoint::load(dir.path(), 0).unwrap();
    let exact = tensors.iter().flat_map(|t| t.2.iter());
    assert!(c.weights.iter().zip(exact).all(|(a, b)| a.to_bits() == b.to_bits() & 0xffff_0000));
    write(&dir.path().join("model.safetensors"), &tensors, Dtype::F64);
    assert!(Checkpoint::load(dir.path(), 0).unwrap_err().message.contains("F64"));
}

#[test]
fn a_missing_head_is_drawn_from_the_seed() {
    let mut tensors = bert();
    tensors.retain(|t| !t.0.contains("classifier") && !t.0.contains("pooler"));
    let dir = folder(&tensors);
    let load = |seed| Checkpoint::load(dir.path(), seed).unwrap();
    let (a, b) = (load(1), load(1));
    assert_eq!(a.weights, b.weights);
    assert_eq!(
        a.drawn,
        ["bert.pooler.dense.weight", "bert.pooler.dense.bias", "classifier.weight", "classifier.bias"]
    );
    let part = |c: &Checkpoint, name: &str| {
        let p = c.parameters.iter().find(|p| p.name == name).unwrap();
        c.weights[p.offset..p.offset + p.len()].to_vec()
    };
    let pooler = part(&a, "bert.pooler.dense.weight");
    let deviation = (pooler.iter().map(|x| x * x).sum::<f32>() / pooler.len() as f32).sqrt();
    assert!((deviation - 0.02).abs() < 0.002, "{deviation}");
    assert!(part(&a, "bert.pooler.dense.bias").iter().all(|x| *x == 0.0));
    assert_ne!(part(&a, "classifier.weight"), part(&load(2), "classifier.weight"));
    // A head that loses only its classifier draws the same classifier.
    let mut tensors = bert();
    tensors.retain(|t| !t.0.contains("classifier"));
    let c = Checkpoint::load(folder(&tensors).path(), 1).unwrap();
    assert_eq!(c.drawn.len(), 2);
    assert_eq!(part(&a, "classifier.weight"), part(&c, "classifier.weight"));
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    let mut tensors = bert();
    tensors.retain(|t| t.0 != "bert.encoder.layer.1.output.dense.bias");
    tensors.push(("qa_outputs.weight".into(), vec![1], vec![0.0]));
    let e = failure(&tensors).message;
    assert!(e.contains("missing `bert.encoder.layer.1.output.dense.bias`"), "{e}");
    assert!(e.contains("left over `qa_outputs.weight`"), "{e}");

    let mut tensors = bert();
    let word = tensors.iter_mut().find(|t| t.0.contains("word_embeddings")).unwrap();
    (word.1, word.2) = (vec![2, 32], vec![0.0; 64]);
    let e = failure(&tensors).message;
    assert!(e.contains("`bert.embeddings.word_embeddings.weight`") && e.contains("[2, 32]"), "{e}");

    let mut tensors = bert();
    tensors[3].2[1] = f32::NAN;
    assert!(failure(&tensors).message.contains("NaN at element 1"));

    let mut tensors = bert();
    tensors.retain(|t| t.0 != "classifier.bias");
    assert!(failure(&tensors).message.contains("but not `classifier.bias`"));

    let mut tensors = bert();
    tensors.push(("embeddings.LayerNorm.gamma".into(), vec![32], vec![1.0; 32]));
    assert!(failure(&tensors).message.contains("the same parameter"));
}

/// The BERT fixture with a classifier of that many labels.
fn labelled(n: usize) -> tempfile::TempDir {
    let mut tensors = bert();
    for (_, shape, numbers) in tensors.iter_mut().filter(|t| t.0.starts_with("classifier")) {
        shape[0] = n;
        *numbers = (0..n).flat_map(|label| numbers.iter().map(move |x| x * label as f32)).collect();
    }
    folder(&tensors)
}

#[test]
fn labels_are_as_many_as_declared() {
    let one = Checkpoint::load(&testing::fixture("bert"), 0).unwrap().weights;
    // The second label of these is the one label of the fixture, the first is zero.
    let two = Checkpoint::load_labelled(labelled(2).path(), 0, Labels::Two).unwrap();
    assert_eq!(two.weights, one);
    for (found, declared, help) in [
        (2, Labels::One, "score = difference"),
        (3, Labels::One, "fresh head"),
        (3, Labels::Two, "fresh head"),
        (1, Labels::Two, "without `two_labels`"),
    ] {
        let e = Checkpoint::load_labelled(labelled(found).path(), 0, declared).unwrap_err();
        assert!(e.message.contains("`classifier.") && e.message.contains(&format!("{found} label")), "{e}");
        assert!(e.help.as_ref().is_some_and(|h| h.contains(help)), "{e:?}");
    }
    let mut tensors = bert();
    tensors.retain(|t| !t.0.contains("classifier"));
    let e = Checkpoint::load_labelled(folder(&tensors).path(), 0, Labels::Two).unwrap_err();
    assert!(e.message.contains("have no `classifier.weight`"), "{e}");
    // A model that was trained from two labels is written with one.
    let out = tempfile::tempdir().unwrap();
    save(&*two.model, &two.parameters, &two.weights, out.path()).unwrap();
    assert_eq!(Checkpoint::load(out.path(), 0).unwrap().weights, one);
}

#[test]
fn a_damaged_or_absent_file_is_told_apart() {
    let dir = folder(&bert());
    let path = dir.path().join("model.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 5]).unwrap();
    let e = Checkpoint::load(dir.path(), 0).unwrap_err();
    assert!(e.kind == FailureKind::Wrong && e.message.contains("model.safetensors"), "{e}");
    std::fs::write(&path, b"version https://git-lfs").unwrap();
    assert_eq!(Checkpoint::load(dir.path(), 0).unwrap_err().kind, FailureKind::Wrong);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(Checkpoint::load(dir.path(), 0).unwrap_err().kind, FailureKind::Missing);
    std::fs::remove_file(dir.path().join("config.json")).unwrap();
    assert_eq!(Checkpoint::load(dir.path(), 0).unwrap_err().kind, FailureKind::Missing);
}

/// The folder of a made model with its weights in one of torch's files.
fn torch(file: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let config = testing::fixture("electra-wide").join("config.json");
    std::fs::copy(config, dir.path().join("config.json")).unwrap();
    std::fs::copy(testing::fixture("kinds").join(file), dir.path().join("pytorch_model.bin")).unwrap();
    dir
}

#[test]
fn torch_files_of_all_kinds_load_the_same() {
    let exact = Checkpoint::load(&testing::fixture("electra-wide"), 0).unwrap().weights;
    for file in ["zip.bin", "legacy.bin", "views.bin"] {
        let c = Checkpoint::load(torch(file).path(), 0).unwrap();
        assert_eq!(c.weights, exact, "{file}");
        testing::check_fixture("electra-wide", &mut CpuReranker::new(c, 1).unwrap());
    }
    for (file, precision) in [("half.bin", 5e-4), ("bfloat.bin", 4e-3)] {
        let rounded = Checkpoint::load(torch(file).path(), 0).unwrap().weights;
        assert_ne!(rounded, exact);
        // Halves below 2⁻¹⁴ lose precision.
        assert!(
            rounded.iter().zip(&exact).all(|(a, b)| (a - b).abs() <= precision * b.abs() + 6e-8),
            "{file}"
        );
    }
    let dir = tempfile::tempdir().unwrap();
    let config = testing::fixture("electra-wide").join("config.json");
    std::fs::copy(config, dir.path().join("config.json")).unwrap();
    for i in 1..=2 {
        let name = format!("pytorch_model-0000{i}-of-00002.bin");
        std::fs::copy(testing::fixture("kinds").join(&name), dir.path().join(&name)).unwrap();
    }
    let index = "pytorch_model.bin.index.json";
    std::fs::copy(testing::fixture("kinds").join(index), dir.path().join(index)).unwrap();
    assert_eq!(Checkpoint::load(dir.path(), 0).unwrap().weights, exact);
}

#[test]
fn damaged_torch_files_are_errors_wherever_they_are_cut() {
    for file in ["zip.bin", "legacy.bin"] {
        let dir = torch(file);
        let path = dir.path().join("pytorch_model.bin");
        let whole = std::fs::read(&path).unwrap();
        for part in 0..16 {
            std::fs::write(&path, &whole[..whole.len() * part / 16]).unwrap();
            let e = Checkpoint::load(dir.path(), 0).unwrap_err();
            assert!(e.message.contains("not a file of weights"), "{file} {part}: {e}");
        }
        // Bytes of the description turned over: an error, or weights that differ; never a panic.
        for at in (0..whole.len().min(3000)).step_by(11) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x55;
            std::fs::write(&path, &bytes).unwrap();
            drop(Checkpoint::load(dir.path(), 0));
        }
    }
}
