//! The fuzz targets of tests/fuzz: briefly on arbitrary bytes and on good input with a few bytes changed, and in `long`
//! for as long as one wants.

mod long;
mod seeds;

use proptest::prelude::*;

use crate::entries;

/// Good input with up to four pieces replaced.
fn spoiled(good: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let piece = (any::<prop::sample::Index>(), 0..6usize, prop::collection::vec(any::<u8>(), 0..4));
    (prop::sample::select(good), prop::collection::vec(piece, 0..4)).prop_map(|(mut bytes, pieces)| {
        for (at, len, new) in pieces {
            let at = at.index(bytes.len() + 1);
            let end = (at + len).min(bytes.len());
            bytes.splice(at..end, new);
        }
        bytes
    })
}

fn bytes(good: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![1 => prop::collection::vec(any::<u8>(), 0..200), 3 => spoiled(good)]
}

/// A file that fuzzing found: the library panics on its dictionary.
#[test]
fn a_panic_of_the_parquet_library_is_a_damaged_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.parquet");
    std::fs::write(&file, include_bytes!("../../data/damaged/dictionary.parquet")).unwrap();
    let (out, options) = (folder.path().join("out"), xpipe_data::texts::TextOptions::default());
    std::fs::create_dir(&out).unwrap();
    let kind = xpipe_data::texts::TextKind::Queries;
    let failure =
        xpipe_data::texts::import(&file, kind, &options, &out, &xpipe_base::task::Silent).unwrap_err();
    assert!(failure.message.contains("the Parquet file is damaged or cut short"), "{failure}");
}

/// Otherwise a target would only test its first check.
#[test]
fn what_is_changed_was_good() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("config.json"), entries::BERT).unwrap();
    std::fs::write(at("model.safetensors"), &seeds::weights()[0]).unwrap();
    let model = xpipe_nn::weights::Checkpoint::load(folder.path(), 1).unwrap();
    assert!(model.drawn.is_empty() && model.ignored.is_empty(), "{model:?}");
    for (bytes, file) in seeds::tokenizers().iter().zip(["tokenizer.json", "vocab.txt", "", "spm.model"]) {
        if file.is_empty() {
            continue;
        }
        std::fs::write(at(file), bytes).unwrap();
        let tokenizer = xpipe_nn::tokenizer::Tokenizer::load(folder.path());
        assert!(tokenizer.is_ok(), "{file}: {tokenizer:?}");
        std::fs::remove_file(at(file)).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn the_parser_survives_any_text(input in bytes(seeds::studies())) {
        entries::parser(&input);
    }

    #[test]
    fn the_reader_of_judgements_survives_any_bytes(input in bytes(seeds::qrels())) {
        entries::qrels(&input);
    }

    #[test]
    fn the_reader_of_runs_survives_any_bytes(input in bytes(seeds::runs())) {
        entries::run(&input);
    }

    #[test]
    fn the_readers_of_texts_survive_any_bytes(input in bytes(seeds::texts())) {
        entries::texts(&input);
    }

    #[test]
    fn the_readers_of_tables_survive_any_bytes(input in bytes(seeds::tables())) {
        entries::parquet(&input);
    }

    #[test]
    fn the_reader_of_manifests_survives_any_bytes(input in bytes(seeds::manifests())) {
        entries::manifest(&input);
    }

    #[test]
    fn the_readers_of_records_survive_any_bytes(input in bytes(seeds::records())) {
        entries::records(&input);
    }

    #[test]
    fn the_readers_of_archives_survive_any_bytes(input in bytes(seeds::archives())) {
        entries::archive(&input);
    }

    #[test]
    fn the_readers_of_weights_survive_any_bytes(input in bytes(seeds::weights()), other in bytes(seeds::torch())) {
        entries::safetensors(&input);
        entries::torch(&other);
    }

    #[test]
    fn the_readers_of_configurations_survive_any_bytes(input in bytes(seeds::configs())) {
        entries::config(&input);
    }

    #[test]
    fn the_readers_of_tokenizers_survive_any_bytes(input in bytes(seeds::tokenizers())) {
        entries::tokenizer(&input);
    }
}
