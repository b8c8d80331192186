//! Address, token and cache folder of the hub, from the variables that its own tools read (HF_ENDPOINT, HF_TOKEN,
//! HF_HUB_CACHE and so on).
//!
//! **Source:** huggingface_hub `constants.py`, `utils/_auth.py`.

use std::path::PathBuf;

/// An access token. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Token {
    /// The token in a text; `None` if it is blank or not a valid header value.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic())).then(|| Self(text.to_owned()))
    }

    /// The value of the header `Authorization`.
    pub(super) fn header(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

fn var(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|v| !v.trim().is_empty())
}

fn path(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from)
}

fn on(name: &str) -> bool {
    var(name).is_some_and(|v| !matches!(&*v.trim().to_lowercase(), "0" | "false" | "no" | "off"))
}

/// The data folder of the hub's tools.
fn home() -> Option<PathBuf> {
    path("HF_HOME")
        .or_else(|| path("XDG_CACHE_HOME").map(|c| c.join("huggingface")))
        .or_else(|| path("HOME").map(|h| h.join(".cache/huggingface")))
}

/// The hub's cache on this machine.
pub fn cache() -> Option<PathBuf> {
    path("HF_HUB_CACHE").or_else(|| path("HUGGINGFACE_HUB_CACHE")).or_else(|| home().map(|h| h.join("hub")))
}

/// The address of the hub, without a trailing slash.
pub fn endpoint() -> String {
    let set = var("HF_ENDPOINT").map(|e| e.trim().trim_end_matches('/').to_owned());
    set.unwrap_or_else(|| "https://huggingface.co".to_owned())
}

/// The variable that forbids requests to the hub, if one is set.
pub fn offline() -> Option<&'static str> {
    ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"].into_iter().find(|name| on(name))
}

/// The token for the hub: from the environment, else from the file that `hf auth login` writes.
pub fn token() -> Option<Token> {
    if on("HF_HUB_DISABLE_IMPLICIT_TOKEN") {
        return None;
    }
    let file = || {
        let path = path("HF_TOKEN_PATH").or_else(|| home().map(|h| h.join("token")))?;
        Token::new(&std::fs::read_to_string(path).ok()?)
    };
    ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"].into_iter().find_map(|name| Token::new(&var(name)?)).or_else(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_never_shown_and_never_breaks_a_header() {
        let token = Token::new(" hf_abc\n").unwrap();
        assert_eq!(format!("{token:?}"), "Token(…)");
        for bad in ["", " \n", "a b", "a\r\nX-Other: 1", "ü"] {
            assert_eq!(Token::new(bad), None, "{bad:?}");
        }
    }
}
