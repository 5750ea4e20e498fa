/* Reads a JSON document in place, value by value. Inside of the library. */
#ifndef SKERRY_CLIENT_JSON_H_
#define SKERRY_CLIENT_JSON_H_

#include <stddef.h>
#include <stdint.h>

/* `at` to `end`, which may be written to. After an error nothing more is found. */
struct Json {
  char* at;
  char* end;
  int is_wrong;
};

/* For each member: `for (int n = 0; (key = skerry_json_member(&in, n)) != NULL; ++n)`, with its
 * value read or skipped in the body. Where the value is no object, that is an error. */
const char* skerry_json_member(struct Json* in, int number);
/* The same for elements: 1 while there is another one. */
int skerry_json_element(struct Json* in, int number);
/* Decoded, with its end, where it stood; never NULL. A text with U+0000 is an error. */
const char* skerry_json_text(struct Json* in);
int64_t skerry_json_integer(struct Json* in);
void skerry_json_skip(struct Json* in);

#endif /* SKERRY_CLIENT_JSON_H_ */
