//! Chat templates, which format a conversation for a model: Jinja, in tokenizer_config.json or chat_template.jinja.

use std::path::Path;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, Value, context};
use serde_json::Value as Json;

use crate::llm::{Message, Role};
use xpipe_base::task::Failure;

/// The chat template of a model.
pub(super) struct Template {
    text: String,
    begin: String,
    end: String,
}

impl Template {
    /// Reads the template in a model's folder.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn read(folder: &Path) -> Result<Self, Failure> {
        let config = super::read_json(folder, "tokenizer_config.json").unwrap_or_default();
        let beside = std::fs::read_to_string(folder.join("chat_template.jinja")).ok();
        let named = |list: &Json| {
            let default = list.as_array()?.iter().find(|t| t["name"] == "default")?;
            default["template"].as_str().map(str::to_owned)
        };
        let inside = &config["chat_template"];
        let text =
            inside.as_str().map(str::to_owned).or_else(|| named(inside)).or(beside).ok_or_else(|| {
                let message = format!("{} has no chat template", folder.display());
                Failure::missing(message).help(
                "use a chat model: it has `chat_template` in tokenizer_config.json, or chat_template.jinja",
            )
            })?;
        let token = |name: &str| {
            let token = &config[name];
            token.as_str().or_else(|| token["content"].as_str()).unwrap_or_default().to_owned()
        };
        Ok(Self { text, begin: token("bos_token"), end: token("eos_token") })
    }

    /// The text of a conversation, up to where the model continues. If the template rejects system messages, they are put
    /// before the first user message.
    ///
    /// # Errors
    /// The template's error.
    pub(super) fn apply(&self, messages: &[Message]) -> Result<String, Failure> {
        let said = match self.render(messages) {
            Ok(text) => return Ok(text),
            Err(e) => e,
        };
        if let [first, second, rest @ ..] = messages
            && (first.role, second.role) == (Role::System, Role::User)
        {
            let content = format!("{}\n\n{}", first.content, second.content);
            let merged = [&[Message { role: Role::User, content }], rest].concat();
            if let Ok(text) = self.render(&merged) {
                return Ok(text);
            }
        }
        Err(Failure::wrong(format!("the model's chat template rejects this conversation: {said}"))
            .help("use another `prompt` or another model"))
    }

    fn render(&self, messages: &[Message]) -> Result<String, Error> {
        let mut environment = Environment::new();
        environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
        // Python methods of strings and lists, which templates use.
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |text: String| -> Result<String, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, text))
        });
        // No `strftime_now`: templates then write a date of their own, the same every day.
        let said = |m: &Message| {
            let role = match m.role {
                Role::System => "system",
                Role::User => "user",
                Role::Assistant => "assistant",
            };
            Value::from_pairs([("role", role), ("content", &*m.content)])
        };
        let messages: Vec<Value> = messages.iter().map(said).collect();
        environment.template_from_str(&self.text)?.render(context! {
            messages => messages,
            add_generation_prompt => true,
            enable_thinking => false,
            bos_token => self.begin.as_str(),
            eos_token => self.end.as_str(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(text: &str) -> Template {
        Template { text: text.into(), begin: "<s>".into(), end: "</s>".into() }
    }

    fn talk() -> Vec<Message> {
        let say = |role, content: &str| Message { role, content: content.into() };
        vec![
            say(Role::System, "Be brief."),
            say(Role::User, " hello "),
            say(Role::Assistant, "hi"),
            say(Role::User, "well?"),
        ]
    }

    /// Qwen's form, which several families share. What is expected is what Jinja2 3.1.6 writes, with blocks trimmed and
    /// stripped from the left as transformers does.
    #[test]
    fn conversations_are_written_as_the_model_wants_them() {
        let chat_ml = "{% for message in messages %}\n{{ '<|im_start|>' + message['role'] + '\\n' + message.content.strip() \
                       + '<|im_end|>' + '\\n' }}\n{% endfor %}\n{% if add_generation_prompt %}\n\
                       {{- '<|im_start|>assistant\\n' }}\n{% endif %}";
        let expected = "<|im_start|>system\nBe brief.<|im_end|>\n\n<|im_start|>user\nhello<|im_end|>\n\n\
                        <|im_start|>assistant\nhi<|im_end|>\n\n<|im_start|>user\nwell?<|im_end|>\n\n<|im_start|>assistant\n\n";
        assert_eq!(template(chat_ml).apply(&talk()).unwrap(), expected);
    }

    #[test]
    fn a_template_without_system_gets_it_in_front_of_the_first_message() {
        let strict = "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}\
                      {{ raise_exception('no system here') }}{% elif m.role == 'user' %}[INST] {{ m.content }} [/INST]\
                      {% else %}{{ m.content }}{{ eos_token }}{% endif %}{% endfor %}";
        let text = template(strict).apply(&talk()).unwrap();
        assert_eq!(text, "<s>[INST] Be brief.\n\n hello  [/INST]hi</s>[INST] well? [/INST]");
        let never = template("{{ raise_exception('never') }}").apply(&talk()).unwrap_err();
        assert!(never.message.contains("never"), "{never}");
    }
}
