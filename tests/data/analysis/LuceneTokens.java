/*
 * Makes tokens.tsv: random texts and what Lucene makes of them. Needs a jar with Lucene 9 (that of Anserini has it):
 *
 *   java -cp anserini-0.24.0-fatjar.jar LuceneTokens.java tokens.tsv
 *
 * A line is `standard` or `english`, the text and its tokens, code points in hexadecimal; tokens are separated by commas.
 */
import java.io.PrintStream;
import java.io.StringReader;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.apache.lucene.analysis.Analyzer;
import org.apache.lucene.analysis.TokenStream;
import org.apache.lucene.analysis.Tokenizer;
import org.apache.lucene.analysis.en.EnglishAnalyzer;
import org.apache.lucene.analysis.standard.StandardTokenizer;
import org.apache.lucene.analysis.tokenattributes.CharTermAttribute;

public class LuceneTokens {
  /** Characters of every class that the tokenizer's rules distinguish, a class a string. */
  static final String[] CLASSES = {
    " !(-\u3036", "\"", "#*", "'\u2019\uff07", ",\uff1b\u2044", ".\u2024\ufe52", "0379", ":\u00b7\u2027",
    "abcdginsZ\u00e9\u0131\u0130\u00df\u03a3\ua610", "_\uff3f\u203f", "\u00a9\u2122\u2605\u2764\u261d\ud83d\ude00\ud83d\udc69\ud83c\udff4",
    "\u0301\u00ad\u2060\udb40\udd00", "\u05d0\u05ea\ufb38", "\u0669\uff19\u17e0", "\u0e30\u1780\u1050", "\u0e31\u1062\u17b6",
    "\uac00\u11ff\uffda", "\u200d", "\u20e3", "\u2139\u24c2\ud83c\udd70", "\u4e2d\u3007\uf900\ud87e\udc00", "\u30ab\u30fc\u32d0",
    "\u3042\u3096\ud83c\ude00", "\ufe0e", "\ufe0f", "\ud83c\udde6\ud83c\uddff", "\ud83c\udffb\ud83c\udfff",
    "\udb40\udc67\udb40\udc20", "\udb40\udc7f",
  };

  static String hex(String text) {
    StringBuilder out = new StringBuilder();
    text.codePoints().forEach(c -> out.append(out.length() > 0 ? " " : "").append(Integer.toHexString(c)));
    return out.toString();
  }

  static void line(PrintStream out, String name, String text, TokenStream stream) throws Exception {
    List<String> tokens = new ArrayList<>();
    CharTermAttribute term = stream.addAttribute(CharTermAttribute.class);
    stream.reset();
    while (stream.incrementToken()) tokens.add(hex(term.toString()));
    stream.end();
    stream.close();
    out.print(name + "\t" + hex(text) + "\t" + String.join(",", tokens) + "\n");
  }

  static void both(PrintStream out, Analyzer english, String text, boolean standard) throws Exception {
    if (standard) {
      Tokenizer tokenizer = new StandardTokenizer();
      tokenizer.setReader(new StringReader(text));
      line(out, "standard", text, tokenizer);
    } else {
      line(out, "english", text, english.tokenStream("text", text));
    }
  }

  public static void main(String[] arguments) throws Exception {
    Random random = new Random(9);
    Analyzer english = new EnglishAnalyzer();
    try (PrintStream out = new PrintStream(arguments[0], "UTF-8")) {
      for (int i = 0; i < 1500; i++) {
        // A few classes a text, so that sequences of the same ones are frequent; every hundredth text is long.
        int classes = 1 + random.nextInt(5), length = i % 100 == 99 ? 400 : 1 + random.nextInt(9);
        int[] chosen = random.ints(classes, 0, CLASSES.length).toArray();
        StringBuilder text = new StringBuilder();
        for (int k = 0; k < length; k++) {
          int[] of = CLASSES[chosen[random.nextInt(classes)]].codePoints().toArray();
          text.appendCodePoint(of[random.nextInt(of.length)]);
        }
        both(out, english, text.toString(), i % 4 < 3);
      }
    }
  }
}
