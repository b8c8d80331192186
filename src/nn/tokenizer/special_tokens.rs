//! Settings of special tokens and token types around texts.

use serde_json::Value as Json;

use super::class::Class;
use super::settings::Settings;
use super::template::{PairTemplate, SingleTemplate, Specials};
use crate::arch::TokenTypes;
use xpipe_base::task::Failure;

impl Settings {
    /// Whether `model_input_names`, if given, has token types.
    fn names_types(&self) -> Result<Option<bool>, Failure> {
        match self.get("model_input_names") {
            None => Ok(None),
            Some(Json::Array(names)) => Ok(Some(names.iter().any(|name| name == "token_type_ids"))),
            Some(other) => Err(self.wrong("model_input_names", &other.to_string(), "a list of names")),
        }
    }

    /// Whether a model with a token type table receives the types of the pair template.
    pub(super) fn gives_types(&self) -> Result<bool, Failure> {
        let reads = self.architecture.is_empty() || self.has_types(TokenTypes::Used);
        Ok(!reads
            || self.names_types()?.unwrap_or(!matches!(
                self.class,
                Class::Bert { types: false } | Class::Roberta | Class::XlmRoberta | Class::Backend
            )))
    }

    /// Refuses special tokens around a pair that contradict the settings, and sets all token types to 0 if the model
    /// receives none.
    ///
    /// # Errors
    /// When the pair template contradicts the settings and the versions of transformers disagree.
    pub(super) fn around(
        &self,
        id: &dyn Fn(&str) -> Option<u32>,
        template: &mut PairTemplate,
        alone: &mut SingleTemplate,
    ) -> Result<(), Failure> {
        let [first, last] = match self.class {
            Class::Bert { .. } | Class::Roberta | Class::DebertaV2 => ["cls_token", "sep_token"],
            Class::XlmRoberta => ["bos_token", "eos_token"],
            Class::Fast | Class::Backend | Class::Unknown => [""; 2],
        };
        for (name, there) in [(first, &template.before), (last, &template.after)] {
            if let Some(Some(token)) = self.named.get(name)
                && let Some(id) = id(&token.content)
                && self.declared.as_deref() != Some("GPT2Tokenizer")
                && !there.iter().any(|(found, _)| *found == id)
            {
                let says = format!("`{name}` is \"{}\"", token.content);
                return Err(self.contradiction(&says, "has another token there in its pair template"));
            }
        }
        let typed = template.types().any(|kind| kind != 0);
        let names = self.names_types()?;
        let given = match (names, self.class) {
            (Some(given), _) | (None, Class::Bert { types: given }) => given,
            (None, Class::DebertaV2 | Class::Unknown) => true,
            (None, Class::Roberta | Class::XlmRoberta | Class::Backend) => false,
            // Version 4 passes them on, version 5 does not.
            (None, Class::Fast) if typed && self.has_types(TokenTypes::Used) => {
                return Err(Failure::wrong(format!(
                    "{}: `model_input_names` is absent: with PreTrainedTokenizerFast, transformers 4 gives documents \
                     token type 1 and transformers 5 gives 0",
                    self.file
                ))
                .help(
                    "write \"model_input_names\": [\"input_ids\", \"token_type_ids\", \"attention_mask\"], or without \
                     token_type_ids, as the model was trained",
                ));
            }
            (None, Class::Fast) => true,
        };
        if !given {
            template.clear_types();
            alone.clear_types();
        } else if typed && self.has_types(TokenTypes::Zero) {
            return Err(Failure::missing(format!(
                "{}: the pair template gives documents token type 1, and this version has type 0 everywhere for `{}`",
                self.file, self.architecture
            ))
            .help("leave token_type_ids out of `model_input_names` if the model was trained without them"));
        }
        Ok(())
    }
}

impl PairTemplate {
    fn types(&self) -> impl Iterator<Item = u32> + '_ {
        let around = [&self.before, &self.between, &self.after].into_iter().flatten().map(|(_, kind)| *kind);
        around.chain([self.query_type, self.document_type])
    }

    /// Whether a token has a type other than 0.
    pub(super) fn typed(&self) -> bool {
        self.types().any(|kind| kind != 0)
    }

    fn clear_types(&mut self) {
        [&mut self.before, &mut self.between, &mut self.after].into_iter().for_each(clear);
        (self.query_type, self.document_type) = (0, 0);
    }
}

impl SingleTemplate {
    fn clear_types(&mut self) {
        [&mut self.before, &mut self.after].into_iter().for_each(clear);
        self.kind = 0;
    }
}

fn clear(specials: &mut Specials) {
    specials.iter_mut().for_each(|(_, kind)| *kind = 0);
}
