//! Panics of libraries and operations, caught and returned as values instead of printed.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    /// `None`: panics of this thread are printed as usual. `Some`: they are stored here.
    static KEPT: RefCell<Option<Panic>> = const { RefCell::new(None) };
}

/// A caught panic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Panic {
    /// The message.
    pub message: String,
    /// The place in the source, ` (file:line)`; empty if unknown.
    pub place: String,
}

/// Runs `f`; its result, or its panic, which is not printed. Calls may be nested.
///
/// # Errors
/// The panic.
pub fn caught<T>(f: impl FnOnce() -> T) -> Result<T, Panic> {
    install();
    let before = KEPT.with(|k| k.borrow_mut().replace(Panic::default()));
    let result = catch_unwind(AssertUnwindSafe(f));
    let kept = KEPT.with(|k| std::mem::replace(&mut *k.borrow_mut(), before)).unwrap_or_default();
    result.map_err(|payload| match kept.message.is_empty() {
        true => Panic { message: message(payload.as_ref()).to_owned(), place: kept.place },
        false => kept,
    })
}

fn message(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

/// Installs a panic hook that stores panics inside [`caught`] and passes on all others.
fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let here = KEPT.try_with(|kept| {
                let Ok(mut kept) = kept.try_borrow_mut() else { return false };
                let Some(panic) = kept.as_mut() else { return false };
                panic.message = message(info.payload()).to_owned();
                panic.place =
                    info.location().map(|l| format!(" ({}:{})", l.file(), l.line())).unwrap_or_default();
                true
            });
            if !here.unwrap_or(false) {
                usual(info);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_inside_another_call_is_its_own() {
        let outer = caught(|| {
            let inner: Result<(), Panic> = caught(|| panic!("index {} out of range", 7));
            assert_eq!(inner.unwrap_err().message, "index 7 out of range");
            panic!("later");
        });
        let outer: Panic = outer.unwrap_err();
        assert!(outer.message == "later" && outer.place.contains("panics.rs:"), "{outer:?}");
        assert_eq!(caught(|| 1), Ok(1));
    }
}
