/* A text is never longer decoded than it stands there, so that it has room for its end. */
#include "json.h"

#include <stdlib.h>
#include <string.h>

enum { kMaxDepth = 32 };

static void spoil(struct Json* in) {
  in->is_wrong = 1;
  in->at = in->end;
}

static int is_space(char each) {
  return each == ' ' || each == '\t' || each == '\n' || each == '\r';
}

static int next(struct Json* in) {
  while (in->at < in->end && is_space(*in->at)) ++in->at;
  return in->at < in->end ? (unsigned char)*in->at : -1;
}

static int take(struct Json* in, char wanted) {
  if (next(in) != (unsigned char)wanted) return 0;
  ++in->at;
  return 1;
}

/* What stands before the value of this number, or the end. */
static int goes_on(struct Json* in, int number, char open, char close) {
  if (number == 0 && !take(in, open)) {
    spoil(in);
    return 0;
  }
  if (take(in, close)) return 0;
  if (number > 0 && !take(in, ',')) spoil(in);
  return !in->is_wrong;
}

const char* skerry_json_member(struct Json* in, int number) {
  if (!goes_on(in, number, '{', '}')) return NULL;
  const char* key = skerry_json_text(in);
  if (!take(in, ':')) spoil(in);
  return in->is_wrong ? NULL : key;
}

int skerry_json_element(struct Json* in, int number) {
  return goes_on(in, number, '[', ']');
}

static int hex(char each) {
  if (each >= '0' && each <= '9') return each - '0';
  if (each >= 'a' && each <= 'f') return each - 'a' + 10;
  if (each >= 'A' && each <= 'F') return each - 'A' + 10;
  return -1;
}

/* The number of \uXXXX, whose X begin at in->at; -1 where there is none. */
static int32_t code_unit(struct Json* in) {
  int32_t unit = 0;
  if (in->end - in->at < 4) return -1;
  for (int i = 0; i < 4; ++i) {
    const int digit = hex(*in->at++);
    if (digit < 0) return -1;
    unit = unit * 16 + digit;
  }
  return unit;
}

/* As UTF-8, which is never longer than its escape. */
static char* put_code_point(struct Json* in, char* to) {
  int32_t point = code_unit(in);
  if (point >= 0xD800 && point < 0xDC00 && in->end - in->at >= 6 && in->at[0] == '\\' &&
      in->at[1] == 'u') {
    in->at += 2;
    const int32_t low = code_unit(in);
    point =
        low >= 0xDC00 && low < 0xE000 ? 0x10000 + ((point - 0xD800) << 10) + (low - 0xDC00) : -1;
  }
  if (point <= 0 || (point >= 0xD800 && point < 0xE000)) {
    spoil(in);
    return to;
  }
  if (point < 0x80) {
    *to++ = (char)point;
    return to;
  }
  const int more = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
  const int first[] = {0, 0xC0, 0xE0, 0xF0};
  *to++ = (char)(first[more] | (point >> (6 * more)));
  for (int i = more - 1; i >= 0; --i) *to++ = (char)(0x80 | ((point >> (6 * i)) & 0x3F));
  return to;
}

const char* skerry_json_text(struct Json* in) {
  static const char kEscapes[] = "\"\\/bfnrt", kMeant[] = "\"\\/\b\f\n\r\t";
  if (!take(in, '"')) {
    spoil(in);
    return "";
  }
  char* const text = in->at;
  char* to = text;
  while (in->at < in->end && *in->at != '"' && (unsigned char)*in->at >= ' ') {
    if (*in->at != '\\') {
      *to++ = *in->at++;
      continue;
    }
    if (++in->at == in->end) break;
    const char escape = *in->at++;
    const char* found = escape ? strchr(kEscapes, escape) : NULL;
    if (found) {
      *to++ = kMeant[found - kEscapes];
    } else if (escape == 'u') {
      to = put_code_point(in, to);
    } else {
      spoil(in);
    }
  }
  if (in->at >= in->end || *in->at != '"') {
    spoil(in);
    return "";
  }
  ++in->at;
  *to = '\0';
  return text;
}

int64_t skerry_json_integer(struct Json* in) {
  const int is_negative = take(in, '-');
  int64_t number = 0;
  const char* const first = in->at;
  while (in->at < in->end && *in->at >= '0' && *in->at <= '9' && number < INT64_MAX / 10 - 1) {
    number = number * 10 + (*in->at++ - '0');
  }
  const int behind = in->at < in->end ? (unsigned char)*in->at : ' ';
  if (in->at == first || (behind >= '0' && behind <= '9') || behind == '.' || behind == 'e' ||
      behind == 'E') {
    spoil(in);
    return 0;
  }
  return is_negative ? -number : number;
}

/* Numbers and words are not looked at closely: nobody asks for them. */
void skerry_json_skip(struct Json* in) {
  char open[kMaxDepth];
  int depth = 0;
  do {
    const int each = next(in);
    if (each == '"') {
      skerry_json_text(in);
    } else if ((each == '{' || each == '[') && depth < kMaxDepth) {
      open[depth++] = *in->at++;
      continue;
    } else if (depth > 0 && (each == '}' || each == ']')) {
      if (open[--depth] + 2 != *in->at++) spoil(in);
    } else if (depth > 0 && (each == ',' || each == ':')) {
      ++in->at;
      continue;
    } else if (each == '-' || (each >= '0' && each <= '9') || (each >= 'a' && each <= 'z')) {
      while (in->at < in->end && !is_space(*in->at) && !strchr(",:]}", *in->at)) ++in->at;
    } else {
      spoil(in);
    }
  } while (depth > 0 && !in->is_wrong);
}
