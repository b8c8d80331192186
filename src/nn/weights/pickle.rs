//! A reader of the part of Python's pickle format that saved tensors use.
//!
//! A pickle is a program that may call anything. This reader calls nothing: it knows the few names in saved dictionaries of
//! tensors and refuses all others. Shared objects stay shared, so a small file cannot expand.
//!
//! **Source:** Python's `pickletools`; torch's `_weights_only_unpickler.py`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// A value of a pickle.
#[derive(Clone, Debug)]
pub(super) enum Value {
    None,
    Bool,
    Int(i64),
    Float,
    Text(Rc<str>),
    /// A name in the file: module and name, one of the allowed ones.
    Name(Rc<str>),
    Tuple(Rc<[Self]>),
    List(Rc<RefCell<Vec<Self>>>),
    Dict(Rc<RefCell<Vec<(Self, Self)>>>),
    /// A call that was not made: function and arguments.
    Made(Rc<(Self, Self)>),
    /// A reference to data outside the pickle.
    Outside(Rc<Self>),
    Mark,
}

impl Value {
    pub(super) fn int(&self) -> Option<i64> {
        if let Self::Int(n) = self { Some(*n) } else { None }
    }

    pub(super) fn text(&self) -> Option<&str> {
        if let Self::Text(t) = self { Some(t) } else { None }
    }

    pub(super) fn name(&self) -> Option<&str> {
        if let Self::Name(n) = self { Some(n) } else { None }
    }

    pub(super) fn tuple(&self) -> Option<&[Self]> {
        if let Self::Tuple(t) = self { Some(t) } else { None }
    }

    /// A tuple of counts.
    pub(super) fn counts(&self) -> Option<Vec<usize>> {
        self.tuple()?.iter().map(|v| v.int().and_then(|n| usize::try_from(n).ok())).collect()
    }
}

/// The allowed names: those in saved dictionaries of tensors.
fn allowed(name: &str) -> bool {
    let storage = name.strip_prefix("torch.").and_then(|n| n.strip_suffix("Storage"));
    storage.is_some_and(|kind| kind.chars().all(char::is_alphanumeric))
        || matches!(
            name,
            "collections.OrderedDict" | "torch._utils._rebuild_tensor_v2" | "torch._utils._rebuild_parameter"
        )
}

/// The pickle machine.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The unread rest.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], String> {
        let (own, rest) = self.rest.split_at_checked(n).ok_or("the pickle ends too early")?;
        self.rest = rest;
        Ok(own)
    }

    /// An unsigned little-endian integer of up to eight bytes.
    fn number(&mut self, n: usize) -> Result<u64, String> {
        Ok(self.take(n)?.iter().rev().fold(0, |x, b| x << 8 | u64::from(*b)))
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let end = self.rest.iter().position(|b| *b == b'\n').ok_or("the pickle ends inside a name")?;
        let line = self.take(end + 1)?;
        std::str::from_utf8(&line[..end]).map_err(|_| "a name that is not text".to_owned())
    }

    /// The next whole value.
    pub(super) fn value(&mut self) -> Result<Value, String> {
        let mut stack = Vec::new();
        let mut memo = HashMap::new();
        loop {
            let op = self.take(1)?[0];
            if op == b'.' {
                return pop(&mut stack);
            }
            self.step(op, &mut stack, &mut memo)?;
        }
    }

    fn step(&mut self, op: u8, stack: &mut Vec<Value>, memo: &mut HashMap<u64, Value>) -> Result<(), String> {
        let value = match op {
            0x80 => return self.take(1).map(drop),
            b'(' => Value::Mark,
            b'N' => Value::None,
            0x88 | 0x89 => Value::Bool,
            b'K' => Value::Int(self.number(1)? as i64),
            b'M' => Value::Int(self.number(2)? as i64),
            b'J' => Value::Int(i64::from(self.number(4)? as u32 as i32)),
            0x8a => self.long()?,
            b'G' => self.take(8).map(|_| Value::Float)?,
            b'X' => self.text()?,
            b'c' => self.global()?,
            b')' => Value::Tuple([].into()),
            b't' => Value::Tuple(to_mark(stack)?.into()),
            0x85..=0x87 => {
                let n = usize::from(op - 0x84);
                let first = stack.len().checked_sub(n).ok_or("a tuple of too few values")?;
                Value::Tuple(stack.split_off(first).into())
            }
            b']' => Value::List(Rc::default()),
            b'}' => Value::Dict(Rc::default()),
            b'a' | b'e' | b's' | b'u' => return fill(op, stack),
            b'R' => {
                let (arguments, function) = (pop(stack)?, pop(stack)?);
                match function.name() {
                    Some("collections.OrderedDict") => Value::Dict(Rc::default()),
                    _ => Value::Made(Rc::new((function, arguments))),
                }
            }
            // The state of an object: attributes of a dictionary have no effect on tensors.
            b'b' => return pop(stack).map(drop),
            b'Q' => Value::Outside(Rc::new(pop(stack)?)),
            b'q' | b'r' => {
                let at = self.number(if op == b'q' { 1 } else { 4 })?;
                memo.insert(at, stack.last().ok_or("nothing to remember")?.clone());
                return Ok(());
            }
            b'h' | b'j' => {
                let at = self.number(if op == b'h' { 1 } else { 4 })?;
                memo.get(&at).ok_or("it refers to a value that it does not have")?.clone()
            }
            other => {
                return Err(format!("it has the operation {other:#04x}, which weights do not need"));
            }
        };
        stack.push(value);
        Ok(())
    }

    fn text(&mut self) -> Result<Value, String> {
        let length = self.number(4)? as usize;
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| "text that is not UTF-8")?;
        Ok(Value::Text(text.into()))
    }

    /// A name of a module, if it is allowed.
    fn global(&mut self) -> Result<Value, String> {
        let name = format!("{}.{}", self.line()?, self.line()?);
        if !allowed(&name) {
            return Err(format!("it refers to `{name}`, which weights do not need"));
        }
        Ok(Value::Name(name.into()))
    }

    /// An integer of any length; only those of up to eight bytes are supported.
    fn long(&mut self) -> Result<Value, String> {
        let n = self.number(1)? as usize;
        if n == 0 || n > 8 {
            return self.take(n).map(|_| Value::Int(0));
        }
        let shift = 64 - 8 * n as u32;
        Ok(Value::Int((self.number(n)? << shift) as i64 >> shift))
    }
}

fn pop(stack: &mut Vec<Value>) -> Result<Value, String> {
    stack.pop().ok_or_else(|| "it takes a value that is not there".to_owned())
}

fn to_mark(stack: &mut Vec<Value>) -> Result<Vec<Value>, String> {
    let mark = stack.iter().rposition(|v| matches!(v, Value::Mark)).ok_or("a mark is missing")?;
    let values = stack.split_off(mark + 1);
    stack.pop();
    Ok(values)
}

/// Adds values on the stack to the list or dictionary below them: one or all up to the mark.
fn fill(op: u8, stack: &mut Vec<Value>) -> Result<(), String> {
    match op {
        b'a' => {
            let value = pop(stack)?;
            list(stack)?.map_borrow(|l| l.push(value))
        }
        b'e' => {
            let values = to_mark(stack)?;
            list(stack)?.map_borrow(|l| l.extend(values))
        }
        b's' => {
            let (value, key) = (pop(stack)?, pop(stack)?);
            dict(stack)?.map_borrow(|d| d.push((key, value)))
        }
        _ => {
            let mut values = to_mark(stack)?.into_iter();
            let dict = dict(stack)?;
            while let Some(key) = values.next() {
                let value = values.next().ok_or("a key without a value")?;
                dict.map_borrow(|d| d.push((key, value)))?;
            }
            Ok(())
        }
    }
}

/// A shared container, changed in place.
struct Shared<T>(Rc<RefCell<T>>);

impl<T> Shared<T> {
    fn map_borrow(&self, f: impl FnOnce(&mut T)) -> Result<(), String> {
        f(&mut *self.0.try_borrow_mut().map_err(|_| "a container inside itself")?);
        Ok(())
    }
}

fn list(stack: &[Value]) -> Result<Shared<Vec<Value>>, String> {
    match stack.last() {
        Some(Value::List(l)) => Ok(Shared(l.clone())),
        _ => Err("a list is missing".into()),
    }
}

fn dict(stack: &[Value]) -> Result<Shared<Vec<(Value, Value)>>, String> {
    match stack.last() {
        Some(Value::Dict(d)) => Ok(Shared(d.clone())),
        _ => Err("a dictionary is missing".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_and_nothing_is_called() {
        // {"a": (1, -2, 300), "b": [None]} with a memo, as protocol 2 writes it.
        let bytes = b"\x80\x02}q\x00(X\x01\x00\x00\x00aK\x01J\xfe\xff\xff\xffM\x2c\x01\x87X\x01\x00\x00\x00b]q\x01Nah\x01u.rest";
        // The list is in the memo and so occurs twice: an odd number of values.
        assert!(Reader::new(bytes).value().unwrap_err().contains("without a value"));
        let bytes = b"\x80\x02}q\x00(X\x01\x00\x00\x00aK\x01J\xfe\xff\xff\xffM\x2c\x01\x87X\x01\x00\x00\x00b]q\x01Nau.rest";
        let mut reader = Reader::new(bytes);
        let Value::Dict(d) = reader.value().unwrap() else { panic!("not a dictionary") };
        let d = d.borrow();
        assert_eq!(d[0].1.tuple().unwrap()[1].int(), Some(-2));
        assert_eq!(d[0].1.tuple().unwrap()[2].int(), Some(300));
        assert!(matches!(&d[1].1, Value::List(l) if l.borrow().len() == 1));
        assert_eq!(reader.rest(), b"rest");
    }

    #[test]
    fn names_of_anything_else_are_refused() {
        let e = Reader::new(b"\x80\x02cos\nsystem\n(X\x02\x00\x00\x00lstR.").value().unwrap_err();
        assert!(e.contains("`os.system`"), "{e}");
        let e = Reader::new(b"\x80\x02ctorch.storage._load_from_bytes\nx\n.").value().unwrap_err();
        assert!(e.contains("_load_from_bytes"), "{e}");
    }

    #[test]
    fn damage_is_an_error() {
        for bytes in [
            &b""[..],
            b"\x80",
            b"\x80\x02",
            b".",
            b"R.",
            b"a.",
            b"N\x87.",
            b"t.",
            b"h\x00.",
            b"X\xff\xff\xff\xffa",
            b"\xff",
        ] {
            assert!(Reader::new(bytes).value().is_err(), "{bytes:?}");
        }
    }
}
