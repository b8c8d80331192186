//! The settings of a sentence-transformers folder: pooling, input, prompts.
//!
//! | file | settings |
//! |---|---|
//! | `modules.json` | the modules in order: Transformer, Pooling, then Normalize or none |
//! | `1_Pooling/config.json` (the path is in `modules.json`) | pooling |
//! | `sentence_bert_config.json` (or another architecture's) | `max_seq_length`, `do_lower_case` |
//! | `tokenizer_config.json` | `model_max_length`, where there is no `max_seq_length` |
//! | `config_sentence_transformers.json` | prompts, and the similarity that the model was trained for |
//!
//! A setting that would change a vector and is not implemented is an error that names it. Must not know: engines.
//!
//! **Source:** sentence-transformers 6.2, `SentenceTransformer.encode_query` and `encode_document`, `Transformer`,
//! `Pooling`.

use std::path::Path;

use serde_json::{Value, json};

use super::config::Fields;
use super::files::TRANSFORMER_SETTINGS;
use super::pooling::{NAMED, PoolingMode};
use xpipe_base::task::{Failure, is_ignored};
use xpipe_base::value::InnerPath;

/// Whether a text is a query or a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// A query.
    Query,
    /// A document.
    Document,
}

/// The similarity of vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Similarity {
    /// Dot product.
    Dot,
    /// Cosine: the dot product of L2-normalised vectors.
    Cosine,
    /// A distance.
    Distance,
}

/// The settings of a folder.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sentence {
    /// Pooling; `None` for a folder without `modules.json`.
    pub kinds: Option<Vec<PoolingMode>>,
    /// Whether a module L2-normalises vectors.
    pub normalises: bool,
    /// The similarity that the model was trained for.
    pub similarity: Option<Similarity>,
    /// Maximum tokens of a text, special tokens included; `None` if the folder does not say.
    pub limit: Option<usize>,
    /// Whether texts are lower-cased before tokenisation.
    pub lower_case: bool,
    /// Prompts by name.
    prompts: Vec<(String, String)>,
    /// Whether the tokens of a prompt are pooled too.
    prompt_is_pooled: bool,
}

impl Sentence {
    /// Reads a model folder, which need not be of sentence-transformers.
    ///
    /// # Errors
    /// When a file is damaged, or a module or field is not implemented.
    pub fn read(folder: &Path) -> Result<Self, Failure> {
        let mut sentence = Self { prompt_is_pooled: true, ..Self::default() };
        sentence.limit = most_tokens(folder)?;
        if let Some(modules) = json(&folder.join("modules.json"))? {
            sentence.modules(folder, &modules)?;
        }
        if let Some(file) = TRANSFORMER_SETTINGS.iter().map(|f| folder.join(f)).find(|f| f.is_file()) {
            sentence.transformer(&file)?;
        }
        sentence.settings(&folder.join("config_sentence_transformers.json"))?;
        Ok(sentence)
    }

    /// The prompt before each text of a side.
    ///
    /// # Errors
    /// When the tokens of prompts are not pooled.
    pub fn prompt(&self, side: Side) -> Result<&str, Failure> {
        let names: &[&str] = match side {
            Side::Query => &["query"],
            Side::Document => &["document", "passage", "corpus"],
        };
        let found = names.iter().find_map(|name| self.prompts.iter().find(|(n, _)| n == name));
        let prompt = found.map_or("", |(_, text)| text);
        self.check_prefix(prompt)?;
        Ok(prompt)
    }

    /// Checks that a prefix can be used.
    ///
    /// # Errors
    /// When the model does not pool the tokens of prompts.
    pub fn check_prefix(&self, prefix: &str) -> Result<(), Failure> {
        if prefix.is_empty() || self.prompt_is_pooled {
            return Ok(());
        }
        Err(Failure::missing(format!(
            "the prompt \"{prefix}\" is left out when this model pools tokens (`include_prompt` is false), which this \
             version does not do"
        ))
        .help("write `prefix = \"\"` to encode texts without it"))
    }

    fn modules(&mut self, folder: &Path, modules: &Value) -> Result<(), Failure> {
        let file = folder.join("modules.json").display().to_string();
        let wrong = |what: String| Failure::wrong(format!("{file}: {what}"));
        let list = modules.as_array().ok_or_else(|| wrong("expected a list of modules".into()))?;
        for (i, module) in list.iter().enumerate() {
            let field = |name: &str| {
                let found = module.get(name).and_then(Value::as_str);
                found.ok_or_else(|| wrong(format!("module {i} has no `{name}`")))
            };
            let (kind, path) = (field("type")?, field("path")?);
            // An empty path is this folder.
            let place = match path {
                "" => folder.to_path_buf(),
                path => InnerPath::of_input(path.trim_end_matches('/'), is_ignored)
                    .map_err(|why| wrong(format!("the path `{}` {why}", path.escape_debug())))?
                    .below(folder),
            };
            let name = kind.rsplit('.').next().unwrap_or(kind);
            match (i, name) {
                (0, "Transformer") if path.is_empty() => {}
                (0, "Transformer") => {
                    return Err(Failure::missing(format!(
                        "{file}: the transformer is in the folder `{path}`"
                    ))
                    .help("move its files beside modules.json, and write \"path\": \"\" there"));
                }
                (1, "Pooling") => self.pooling(&place.join("config.json"))?,
                (2.., "Normalize") => {
                    self.normalises = normalises_vectors(&place.join("config.json"))?;
                }
                // Dropout is for training only.
                (1.., "Dropout") => {}
                _ => {
                    return Err(Failure::missing(format!(
                        "{file}: module {i} is `{name}`, which would change every vector and is not implemented"
                    ))
                    .help("this version runs a Transformer, a Pooling and a Normalize module, in this order"));
                }
            }
        }
        if self.kinds.is_none() {
            return Err(wrong("there is no Pooling module".into())
                .help("a model of sentence vectors has one after its Transformer"));
        }
        Ok(())
    }

    fn pooling(&mut self, path: &Path) -> Result<(), Failure> {
        let fields = open(path)?;
        // The dimension is the model's, which is checked where its weights are read.
        let _ = (fields.value("word_embedding_dimension"), fields.value("embedding_dimension"));
        self.prompt_is_pooled = fields.flag("include_prompt", true)?;
        let old = [
            "pooling_mode_cls_token",
            "pooling_mode_max_tokens",
            "pooling_mode_mean_tokens",
            "pooling_mode_mean_sqrt_len_tokens",
            "pooling_mode_weightedmean_tokens",
            "pooling_mode_lasttoken",
        ];
        let mut kinds = Vec::new();
        for (name, (_, kind)) in old.into_iter().zip(NAMED) {
            if fields.flag(name, false)? {
                kinds.push(kind);
            }
        }
        if fields.value("pooling_mode").is_some() {
            let names = fields.words("pooling_mode")?;
            let kind = |name: &String| {
                NAMED.iter().find(|(n, _)| n == name).map(|(_, kind)| *kind).ok_or_else(|| {
                    Failure::missing(format!("{}: unknown pooling `{name}`", path.display()))
                        .help(format!("this version knows {}", NAMED.map(|(n, _)| n).join(", ")))
                })
            };
            kinds = names.iter().map(kind).collect::<Result<_, Failure>>()?;
        }
        if kinds.is_empty() {
            kinds.push(PoolingMode::Mean);
        }
        self.kinds = Some(kinds);
        fields.finish(&[])
    }

    fn transformer(&mut self, path: &Path) -> Result<(), Failure> {
        let fields = open(path)?;
        if fields.value("max_seq_length").is_some() {
            self.limit = Some(fields.count("max_seq_length", None)?);
        }
        self.lower_case = fields.flag("do_lower_case", false)?;
        fields.only("transformer_task", &[json!("feature-extraction")])?;
        fields.only("module_output_name", &[json!("token_embeddings")])?;
        let states = json!({"text": {"method": "forward", "method_output_name": "last_hidden_state"}});
        fields.only("modality_config", &[states])?;
        for name in ["model_args", "tokenizer_args", "config_args", "tokenizer_name_or_path"] {
            fields.only(name, &[json!({})])?;
        }
        fields.finish(&[])
    }

    fn settings(&mut self, path: &Path) -> Result<(), Failure> {
        if !path.is_file() {
            return Ok(());
        }
        let fields = open(path)?;
        let wrong = |what: &str| Failure::wrong(format!("{}: {what}", path.display()));
        if let Some(prompts) = fields.value("prompts") {
            let prompts = prompts.as_object().ok_or_else(|| wrong("`prompts` are not names with texts"))?;
            for (name, text) in prompts {
                let text = match text {
                    Value::Null => "",
                    text => {
                        text.as_str().ok_or_else(|| wrong(&format!("the prompt `{name}` is not text")))?
                    }
                };
                self.prompts.push((name.clone(), text.to_owned()));
            }
        }
        self.similarity = match fields.text("similarity_fn_name", "")? {
            "" => None,
            "dot" | "dot_product" => Some(Similarity::Dot),
            "cosine" => Some(Similarity::Cosine),
            "euclidean" | "manhattan" => Some(Similarity::Distance),
            other => return Err(wrong(&format!("no similarity `{other}` is known"))),
        };
        fields.only("truncate_dim", &[])?;
        fields.only("model_type", &[json!("SentenceTransformer")])?;
        // The default prompt of `encode`, which is neither for queries nor for documents.
        fields.finish(&["default_prompt_name"])
    }
}

/// Checks the settings of a cross-encoder of sentence-transformers (4 to 6) besides config.json: modules after the
/// transformer, and prompts before texts.
///
/// # Errors
/// When a setting would change every score and is not implemented.
pub fn check_cross_encoder(folder: &Path) -> Result<(), Failure> {
    let path = folder.join("config_sentence_transformers.json");
    let Some(settings) = json(&path)?.filter(|s| s["model_type"] == "CrossEncoder") else { return Ok(()) };
    let refused = |path: &Path, what: String| {
        Err(Failure::missing(format!(
            "{}: {what} would change every score and has no implementation here",
            path.display()
        ))
        .help("this version runs cross-encoders of one Transformer module without prompts"))
    };
    let prompts = settings["prompts"].as_object();
    let default = settings["default_prompt_name"].as_str().and_then(|name| prompts?.get(name)?.as_str());
    if let Some(prompt) = default.filter(|p| !p.is_empty()) {
        return refused(&path, format!("the prompt \"{}\"", prompt.escape_debug()));
    }
    let path = folder.join("modules.json");
    let modules = json(&path)?.unwrap_or_default();
    for module in modules.as_array().into_iter().flatten() {
        let kind = module["type"].as_str().unwrap_or_default();
        let name = kind.rsplit('.').next().unwrap_or_default();
        if !["Transformer", "Dropout"].contains(&name) {
            return refused(&path, format!("the module `{}`", name.escape_debug()));
        }
    }
    let path = folder.join("sentence_bert_config.json");
    match json(&path)?.is_some_and(|s| s["do_lower_case"] == true) {
        true => refused(&path, "`do_lower_case`".into()),
        false => Ok(()),
    }
}

/// Whether a Normalize module is for vectors of texts, as it is without a configuration.
fn normalises_vectors(path: &Path) -> Result<bool, Failure> {
    if path.is_file() {
        let fields = open(path)?;
        for name in ["module_input_name", "module_output_name"] {
            fields.only(name, &[json!("sentence_embedding")])?;
        }
        fields.finish(&[])?;
    }
    Ok(true)
}

/// `model_max_length` of the tokenizer. Some files have a huge number for "none".
fn most_tokens(folder: &Path) -> Result<Option<usize>, Failure> {
    let config = json(&folder.join("tokenizer_config.json"))?;
    let most = config.as_ref().and_then(|c| c.get("model_max_length")).and_then(Value::as_f64);
    Ok(most.filter(|n| (1.0..1e9).contains(n)).map(|n| n as usize))
}

fn open(path: &Path) -> Result<Fields, Failure> {
    let bytes = std::fs::read(path).map_err(|e| {
        Failure::missing(format!("{}: {e}", path.display()))
            .help("copy the whole folder of the model, with the folders of its modules")
    })?;
    Fields::parse(&path.display().to_string(), &bytes)
}

/// A JSON file, if it exists.
fn json(path: &Path) -> Result<Option<Value>, Failure> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|e| Failure::wrong(format!("{}: not JSON: {e}", path.display()))),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Failure::missing(format!("{}: {e}", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODULES: &str = r#"[{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"} @]"#;

    /// A folder with these files, and `MODULES` with more modules.
    fn folder(more: &str, files: &[(&str, &str)]) -> Result<Sentence, Failure> {
        let dir = tempfile::tempdir().unwrap();
        for name in ["1_Pooling", "2_Normalize"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        std::fs::write(dir.path().join("1_Pooling/config.json"), r#"{"word_embedding_dimension": 8}"#)
            .unwrap();
        std::fs::write(dir.path().join("modules.json"), MODULES.replace('@', more)).unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        Sentence::read(dir.path())
    }

    const NORMALIZE: &str = r#", {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}"#;

    #[test]
    fn what_a_folder_says() {
        let plain = tempfile::tempdir().unwrap();
        let none = Sentence::read(plain.path()).unwrap();
        assert_eq!((none.kinds, none.limit, none.similarity), (None, None, None));
        let old = r#"{"word_embedding_dimension": 8, "pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false,
            "pooling_mode_lasttoken": true}"#;
        let s = folder(
            NORMALIZE,
            &[
                ("1_Pooling/config.json", old),
                ("sentence_bert_config.json", r#"{"max_seq_length": 256, "do_lower_case": true}"#),
                ("tokenizer_config.json", r#"{"model_max_length": 512}"#),
                (
                    "config_sentence_transformers.json",
                    r#"{"prompts": {"query": "q: ", "passage": "p: "}, "similarity_fn_name": "dot"}"#,
                ),
            ],
        )
        .unwrap();
        assert_eq!(s.kinds.as_deref(), Some(&[PoolingMode::First, PoolingMode::Last][..]));
        assert_eq!((s.normalises, s.limit, s.lower_case), (true, Some(256), true));
        assert_eq!((s.prompt(Side::Query).unwrap(), s.prompt(Side::Document).unwrap()), ("q: ", "p: "));
        assert_eq!(s.similarity, Some(Similarity::Dot));
        let s = folder("", &[("tokenizer_config.json", r#"{"model_max_length": 77}"#)]).unwrap();
        assert_eq!(
            (s.kinds.as_deref(), s.normalises, s.limit),
            (Some(&[PoolingMode::Mean][..]), false, Some(77))
        );
        assert_eq!((s.prompt(Side::Query).unwrap(), s.prompt(Side::Document).unwrap()), ("", ""));
        let s = folder(
            "",
            &[("tokenizer_config.json", r#"{"model_max_length": 1000000000000000019884624838656}"#)],
        );
        assert_eq!(s.unwrap().limit, None);
        for (mode, kinds) in [
            (r#""max""#, vec![PoolingMode::Max]),
            (r#"["cls", "mean"]"#, vec![PoolingMode::First, PoolingMode::Mean]),
        ] {
            let config = format!(r#"{{"embedding_dimension": 8, "pooling_mode": {mode}}}"#);
            assert_eq!(folder("", &[("1_Pooling/config.json", &config)]).unwrap().kinds, Some(kinds));
        }
    }

    #[test]
    fn what_would_change_a_vector_is_refused_by_name() {
        let dense =
            r#", {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"}"#;
        type File<'a> = (&'a str, &'a str);
        let cases: [(&str, &[File<'_>], &str); 12] = [
            (dense, &[], "`Dense`"),
            ("", &[("modules.json", "[]")], "no Pooling module"),
            ("", &[("modules.json", "{}")], "a list of modules"),
            ("", &[("modules.json", "[")], "not JSON"),
            (
                "",
                &[("modules.json", &MODULES.replace('@', "").replace("1_Pooling", "../x"))],
                "out of its folder",
            ),
            (
                "",
                &[("modules.json", &MODULES.replace('@', "").replacen("\"\"", "\"0_Transformer\"", 1))],
                "0_Transformer",
            ),
            ("", &[("1_Pooling/config.json", r#"{"pooling_mode": "sum"}"#)], "`sum`"),
            ("", &[("1_Pooling/config.json", r#"{"pooling_mode_sum": true}"#)], "`pooling_mode_sum`"),
            (
                "",
                &[("sentence_bert_config.json", r#"{"transformer_task": "fill-mask"}"#)],
                "`transformer_task`",
            ),
            (
                NORMALIZE,
                &[("2_Normalize/config.json", r#"{"module_input_name": "token_embeddings"}"#)],
                "module_input_name",
            ),
            ("", &[("config_sentence_transformers.json", r#"{"similarity_fn_name": "own"}"#)], "`own`"),
            ("", &[("config_sentence_transformers.json", r#"{"truncate_dim": 64}"#)], "truncate_dim"),
        ];
        for (more, files, named) in cases {
            let e = folder(more, files).unwrap_err();
            assert!(e.message.contains(named), "{named}: {e}");
        }
        let gone = MODULES.replace('@', "").replace("1_Pooling", "3_Pooling");
        let e = folder("", &[("modules.json", &gone)]).unwrap_err();
        assert!(e.message.contains("3_Pooling/config.json") && e.help.is_some(), "{e}");
        let s = folder(
            "",
            &[
                ("1_Pooling/config.json", r#"{"include_prompt": false}"#),
                ("config_sentence_transformers.json", r#"{"prompts": {"query": "q: "}}"#),
            ],
        )
        .unwrap();
        assert!(s.prompt(Side::Query).unwrap_err().message.contains("include_prompt"));
        assert_eq!(s.prompt(Side::Document).unwrap(), "");
    }

    /// A folder as `CrossEncoder.save_pretrained` of sentence-transformers 6 writes it, without its weights.
    fn cross_encoder(more: &[(&str, &str)]) -> Result<(), Failure> {
        let dir = tempfile::tempdir().unwrap();
        let files = [
            (
                "modules.json",
                r#"[{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.base.modules.transformer.Transformer"}]"#,
            ),
            (
                "config_sentence_transformers.json",
                r#"{"__version__": {"sentence_transformers": "6.2.0"}, "activation_fn": "torch.nn.modules.linear.Identity",
                    "default_prompt_name": null, "model_type": "CrossEncoder", "prompts": {}}"#,
            ),
            (
                "sentence_bert_config.json",
                r#"{"transformer_task": "sequence-classification", "max_seq_length": 512, "do_lower_case": false}"#,
            ),
        ];
        for (name, text) in files.iter().chain(more) {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        check_cross_encoder(dir.path())
    }

    #[test]
    fn cross_encoders_of_other_forms_are_refused_by_name() {
        cross_encoder(&[]).unwrap();
        // Prompts are used only if asked for.
        let named =
            r#"{"model_type": "CrossEncoder", "prompts": {"query": "q: "}, "default_prompt_name": null}"#;
        cross_encoder(&[("config_sentence_transformers.json", named)]).unwrap();
        let prompt =
            r#"{"model_type": "CrossEncoder", "prompts": {"query": "q: "}, "default_prompt_name": "query"}"#;
        let modules =
            r#"[{"path": "", "type": "a.Transformer"}, {"path": "1_LogitScore", "type": "a.b.LogitScore"}]"#;
        for (file, text, told) in [
            ("config_sentence_transformers.json", prompt, "the prompt \"q: \""),
            ("modules.json", modules, "the module `LogitScore`"),
            ("sentence_bert_config.json", r#"{"do_lower_case": true}"#, "`do_lower_case`"),
            ("modules.json", "[", "not JSON"),
        ] {
            let failure = cross_encoder(&[(file, text)]).unwrap_err();
            assert!(failure.message.contains(told) && failure.message.contains(file), "{failure}");
        }
        // A bi-encoder is no cross-encoder, but a training may start from one.
        let bi = r#"{"model_type": "SentenceTransformer", "prompts": {"query": "q: "}, "default_prompt_name": "query"}"#;
        cross_encoder(&[("config_sentence_transformers.json", bi)]).unwrap();
        // Folders of version 3 have neither file.
        check_cross_encoder(tempfile::tempdir().unwrap().path()).unwrap();
    }
}
