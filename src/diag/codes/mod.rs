//! The stable codes of diagnostics. Each has a page beside this file that `xpipe explain CODE` prints; a new one is
//! a page and a line below.

macro_rules! codes {
    ($($variant:ident = $code:literal, $page:literal;)*) => {
        /// A stable diagnostic code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "each code has a page")]
        pub enum Code { $($variant,)* }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// The code as users see it.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $code,)* }
            }

            /// The page: what it means, a wrong and a right example.
            pub fn page(self) -> &'static str {
                match self { $(Code::$variant => include_str!($page),)* }
            }
        }
    };
}

codes! {
    Syntax = "syntax::unexpected", "syntax__unexpected.md";
    OpNeedsTeacher = "op::needs_teacher", "op__needs_teacher.md";
    OpShapeFit = "op::shape_fit", "op__shape_fit.md";
    OpTooManyNegatives = "op::too_many_negatives", "op__too_many_negatives.md";
    OpPercentOfSteps = "op::percent_of_steps", "op__percent_of_steps.md";
    OpOneOf = "op::one_of", "op__one_of.md";
    OpNeedsCount = "op::needs_count", "op__needs_count.md";
    CutoffTooDeep = "op::cutoff_too_deep", "op__cutoff_too_deep.md";
    OutOfRange = "op::out_of_range", "op__out_of_range.md";
    SyntaxCall = "syntax::not_a_call", "syntax__not_a_call.md";
    SyntaxDeep = "syntax::too_deep", "syntax__too_deep.md";
    SyntaxDoc = "syntax::dangling_doc", "syntax__dangling_doc.md";
    SyntaxForeign = "syntax::foreign", "syntax__foreign.md";
    SyntaxItem = "syntax::not_an_item", "syntax__not_an_item.md";
    SyntaxNumber = "syntax::number", "syntax__number.md";
    SyntaxString = "syntax::string", "syntax__string.md";
    SyntaxUnclosed = "syntax::unclosed", "syntax__unclosed.md";
    SyntaxUnopened = "syntax::unopened", "syntax__unopened.md";
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
