//! What of a folder that is an input counts: the one rule of keys and readers.

/// Whether a file or folder of this name is no part of the folder it lies in: hidden names, what Python keeps of the
/// modules it has loaded, and what editors leave. It is in no key, so no reader may read it.
pub fn passed_over(name: &str) -> bool {
    let suffixed = |suffix: &str| name.len() > suffix.len() && name.ends_with(suffix);
    name.starts_with('.')
        || name == "__pycache__"
        || [".pyc", ".pyo", "~"].into_iter().any(suffixed)
        || (name.len() > 2 && name.starts_with('#') && name.ends_with('#'))
}

#[cfg(test)]
mod tests {
    use super::passed_over;

    #[test]
    fn what_tools_leave_does_not_count() {
        for name in
            [".git", ".DS_Store", ".tool.py.swp", "__pycache__", "util.cpython-312.pyc", "a.py~", "#a.py#"]
        {
            assert!(passed_over(name), "{name}");
        }
        for name in ["tool.py", "a.pyc.txt", "pyc", "#1", "#", "##", "~", "__init__.py", "x.bak", "a~b"] {
            assert!(!passed_over(name), "{name}");
        }
    }
}
