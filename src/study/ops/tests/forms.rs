//! The built-in forms are typed and documented as operations are.

use xpipe_lang::graph::special::{FORMS, form};
use xpipe_lang::types::Type;

#[test]
fn every_form_is_typed_and_documented() {
    let registry = crate::ops::registry();
    for form in FORMS {
        assert!(Type::parse(form.returns).is_some(), "{}", form.name);
        for param in form.params {
            let name = format!("{}.{}", form.name, param.name);
            if param.ty.is_empty() {
                let imported = registry.imports().find_map(|op| op.param(param.name));
                assert!(imported.is_some_and(|p| !p.doc.is_empty()), "{name}");
            } else {
                assert!(param.doc.ends_with('.'), "{name}");
            }
            assert_eq!(param.value_type(&registry).is_none(), param.ty.contains("axis"), "{name}");
        }
    }
}

#[test]
fn no_form_is_also_an_operation() {
    let registry = crate::ops::registry();
    assert!(FORMS.iter().all(|form| registry.get(form.name).is_none()));
}

#[test]
fn words_of_several_imports_are_all_accepted() {
    let registry = crate::ops::registry();
    let param = form("local").unwrap().param("duplicates").unwrap();
    let Some(Type::Word(words)) = param.value_type(&registry) else { panic!("no words") };
    assert_eq!(words, ["error", "first", "drop", "max"]);
}
