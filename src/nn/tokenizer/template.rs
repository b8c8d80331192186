//! Special tokens and token types around texts, learnt from the tokenizer.

use super::parse;
use super::settings::Settings;

/// Special tokens in a row: ids and token types.
pub(super) type Specials = Vec<(u32, u32)>;

/// Special tokens and token types of a pair.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PairTemplate {
    pub(super) before: Specials,
    pub(super) between: Specials,
    pub(super) after: Specials,
    pub(super) query_type: u32,
    pub(super) document_type: u32,
}

/// Special tokens and token type of a single text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SingleTemplate {
    pub(super) before: Specials,
    pub(super) after: Specials,
    pub(super) kind: u32,
}

/// Learns the pair template by encoding a pair: the tokens that come from neither text.
pub(super) fn learn_pair(inner: &tokenizers::Tokenizer, settings: &Settings) -> Result<PairTemplate, String> {
    let pair = parse::quiet(|| inner.encode_fast(("a", "a"), true).map_err(|e| e.to_string()))
        .map_err(|e| format!("cannot encode a pair: {e}"))?;
    let sources = pair.get_sequence_ids();
    let mut template = PairTemplate::default();
    let mut seen = [false; 2];
    for (i, source) in sources.iter().enumerate() {
        let (id, kind) = (pair.get_ids()[i], pair.get_type_ids()[i]);
        match (source, seen) {
            (Some(0), [_, false]) => (template.query_type, seen[0]) = (kind, true),
            (Some(1), [true, _]) => (template.document_type, seen[1]) = (kind, true),
            (None, [false, false]) => template.before.push((id, kind)),
            (None, [true, false]) => template.between.push((id, kind)),
            (None, [true, true]) => template.after.push((id, kind)),
            _ => return Err("its pair template is not query before document".into()),
        }
    }
    if seen != [true, true] {
        return Err("it gives no token for the text \"a\"".into());
    }
    if !template.before.is_empty() {
        return Ok(template);
    }
    match bert_specials(inner, settings) {
        Some((cls, sep)) => Ok(PairTemplate {
            before: vec![(cls, 0)],
            between: vec![(sep, 0)],
            after: vec![(sep, 1)],
            query_type: 0,
            document_type: 1,
        }),
        None => Err("it has no pair template, and no [CLS] and [SEP] to make BERT's".into()),
    }
}

/// The tokens of BERT's pair template.
fn bert_specials(inner: &tokenizers::Tokenizer, settings: &Settings) -> Option<(u32, u32)> {
    let id = |name: &str, default: &str| inner.token_to_id(settings.special(name, default));
    id("cls_token", "[CLS]").zip(id("sep_token", "[SEP]"))
}

/// Learns the special tokens of a single text in the same way.
pub(super) fn learn_single(
    inner: &tokenizers::Tokenizer,
    settings: &Settings,
) -> Result<SingleTemplate, String> {
    let one = parse::quiet(|| inner.encode_fast("a", true).map_err(|e| e.to_string()))
        .map_err(|e| format!("cannot encode a text: {e}"))?;
    let (mut alone, mut seen) = (SingleTemplate::default(), false);
    for (i, source) in one.get_sequence_ids().iter().enumerate() {
        let (id, kind) = (one.get_ids()[i], one.get_type_ids()[i]);
        match (source, seen) {
            (Some(_), _) => (alone.kind, seen) = (kind, true),
            (None, false) => alone.before.push((id, kind)),
            (None, true) => alone.after.push((id, kind)),
        }
    }
    if alone.before.is_empty()
        && let Some((cls, sep)) = bert_specials(inner, settings)
    {
        (alone.before, alone.after) = (vec![(cls, 0)], vec![(sep, 0)]);
    }
    Ok(alone)
}
