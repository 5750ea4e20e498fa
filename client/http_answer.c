/* Lengths are checked before anything is pointed to: the bytes come from outside. */
#define _GNU_SOURCE /* NOLINT(bugprone-reserved-identifier): memmem */
#include "http_answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "json.h"

static const struct {
  const char* name;
  uint64_t bytes;
} kTypes[] = {{"BOOL", 1},  {"INT8", 1},   {"INT16", 2},  {"INT32", 4},  {"INT64", 8},
              {"UINT8", 1}, {"UINT16", 2}, {"UINT32", 4}, {"UINT64", 8}, {"FP16", 2},
              {"FP32", 4},  {"FP64", 8},   {"BYTES", 0}};
enum { kTypeCount = sizeof kTypes / sizeof *kTypes };

const char* skerry_type_name(uint32_t type) {
  return kTypes[type].name;
}

/* By the numbers of SKERRY_STATUS_…; "" is none. */
static const char* const kCauses[] = {"",
                                      "invalid_argument",
                                      "not_found",
                                      "already_exists",
                                      "permission_denied",
                                      "failed_precondition",
                                      "corrupt",
                                      "unsupported",
                                      "resource_exhausted",
                                      "unavailable",
                                      "timeout",
                                      "cancelled",
                                      "internal",
                                      "unauthenticated"};

/* For services that do not name the cause. */
static int status_of(int http) {
  switch (http) {
    case 200:
      return SKERRY_STATUS_OK;
    case 401:
      return SKERRY_STATUS_UNAUTHENTICATED;
    case 403:
      return SKERRY_STATUS_PERMISSION_DENIED;
    case 404:
      return SKERRY_STATUS_NOT_FOUND;
    case 409:
      return SKERRY_STATUS_FAILED_PRECONDITION;
    case 429:
      return SKERRY_STATUS_RESOURCE_EXHAUSTED;
    case 503:
      return SKERRY_STATUS_UNAVAILABLE;
    case 504:
      return SKERRY_STATUS_TIMEOUT;
    default:
      return http / 100 == 4 ? SKERRY_STATUS_INVALID_ARGUMENT : SKERRY_STATUS_INTERNAL;
  }
}

struct Line {
  const char* name;
  size_t name_bytes;
  const char* value; /* to its end, with neither space before nor behind */
  size_t value_bytes;
};

static int is_named(const struct Line* line, const char* name) {
  return strlen(name) == line->name_bytes && strncasecmp(line->name, name, line->name_bytes) == 0;
}

static int has_value(const struct Line* line, const char* value) {
  return strlen(value) == line->value_bytes &&
         strncasecmp(line->value, value, line->value_bytes) == 0;
}

static int get_number(const struct Line* line, uint64_t* number) {
  *number = 0;
  for (size_t i = 0; i < line->value_bytes; ++i) {
    const char digit = line->value[i];
    if (digit < '0' || digit > '9' || *number > (UINT64_MAX >> 8)) return 0;
    *number = *number * 10 + (uint64_t)(digit - '0');
  }
  return line->value_bytes > 0;
}

static int get_line(const char* at, const char* end, struct Line* line) {
  const char* colon = memchr(at, ':', (size_t)(end - at));
  if (!colon) return 0;
  const char* first = colon + 1;
  while (first < end && (*first == ' ' || *first == '\t')) ++first;
  while (end > first && (end[-1] == ' ' || end[-1] == '\t')) --end;
  *line = (struct Line){at, (size_t)(colon - at), first, (size_t)(end - first)};
  return 1;
}

static int read_line(const struct Line* line, struct HttpHead* head) {
  uint64_t number = 0;
  if (is_named(line, "Content-Length")) return get_number(line, &head->body_bytes);
  if (is_named(line, "Inference-Header-Content-Length")) return get_number(line, &head->json_bytes);
  if (is_named(line, "Transfer-Encoding") || is_named(line, "Content-Encoding")) {
    return has_value(line, "identity");
  }
  if (is_named(line, "Connection") && has_value(line, "close")) head->is_last = 1;
  if (is_named(line, "Retry-After") && get_number(line, &number) && number <= UINT32_MAX) {
    head->retry_after_s = (uint32_t)number;
  }
  for (int i = 1; is_named(line, "Skerry-Error") && i <= SKERRY_STATUS_UNAUTHENTICATED; ++i) {
    if (has_value(line, kCauses[i])) head->status = i;
  }
  return 1;
}

int skerry_http_head(const char* bytes, size_t size, struct HttpHead* head) {
  const char* end = memmem(bytes, size, "\r\n\r\n", 4);
  if (!end) return size < SKERRY_MAX_HTTP_HEAD_BYTES ? 0 : -1;
  memset(head, 0, sizeof *head);
  head->json_bytes = UINT64_MAX;
  if (size < 13 || memcmp(bytes, "HTTP/1.", 7) != 0 || bytes[8] != ' ') return -1;
  for (int i = 9; i < 12; ++i) {
    if (bytes[i] < '0' || bytes[i] > '9') return -1;
    head->http = head->http * 10 + (bytes[i] - '0');
  }
  head->status = -1;
  const char* at = memmem(bytes, (size_t)(end + 2 - bytes), "\r\n", 2);
  while (at < end) {
    at += 2;
    const char* line_end = memmem(at, (size_t)(end + 2 - at), "\r\n", 2);
    struct Line line;
    if (!get_line(at, line_end, &line) || !read_line(&line, head)) return -1;
    at = line_end;
  }
  if (head->status < 0 || head->http == 200) head->status = status_of(head->http);
  if (head->http == 401) head->status = SKERRY_STATUS_UNAUTHENTICATED;
  if (head->json_bytes == UINT64_MAX) head->json_bytes = head->body_bytes;
  if (head->json_bytes > head->body_bytes) return -1;
  return (int)(end + 4 - bytes);
}

static uint32_t type_of(const char* name) {
  uint32_t type = 0;
  while (type < kTypeCount && strcmp(name, kTypes[type].name) != 0) ++type;
  return type;
}

/* Whether shape and type make so many bytes. */
static int has_its_bytes(const SkerryClientTensor* output) {
  uint64_t bytes = kTypes[output->type].bytes;
  for (uint32_t i = 0; i < output->rank; ++i) {
    if (output->shape[i] < 0 || __builtin_mul_overflow(bytes, (uint64_t)output->shape[i], &bytes)) {
      return 0;
    }
  }
  return output->type == SKERRY_BYTES || bytes == output->bytes;
}

static void read_shape(struct Json* in, SkerryClientTensor* output, int64_t* shape) {
  output->shape = shape;
  for (int n = 0; skerry_json_element(in, n); ++n) {
    if (n == SKERRY_RING_MAX_RANK) {
      in->is_wrong = 1;
      return;
    }
    shape[n] = skerry_json_integer(in);
    output->rank = (uint32_t)n + 1;
  }
}

/* NULL, or what is wrong. */
static const char* read_output(struct Json* in, SkerryClientTensor* output, int64_t* shape) {
  const char* key;
  memset(output, 0, sizeof *output);
  output->type = kTypeCount;
  output->bytes = UINT64_MAX;
  for (int n = 0; (key = skerry_json_member(in, n)) != NULL; ++n) {
    if (strcmp(key, "name") == 0) {
      output->name = skerry_json_text(in);
    } else if (strcmp(key, "datatype") == 0) {
      output->type = type_of(skerry_json_text(in));
    } else if (strcmp(key, "shape") == 0) {
      read_shape(in, output, shape);
    } else if (strcmp(key, "parameters") == 0) {
      for (int m = 0; (key = skerry_json_member(in, m)) != NULL; ++m) {
        if (strcmp(key, "binary_data_size") != 0) {
          skerry_json_skip(in);
          continue;
        }
        const int64_t bytes = skerry_json_integer(in);
        if (bytes >= 0) output->bytes = (uint64_t)bytes;
      }
    } else {
      skerry_json_skip(in);
    }
  }
  if (in->is_wrong || !output->name || output->type == kTypeCount || !output->shape) {
    return "the service's answer makes no sense";
  }
  if (output->bytes == UINT64_MAX) return "the service answers without binary tensors";
  return has_its_bytes(output) ? NULL : "an output has another size than its shape says";
}

static uint64_t aligned(uint64_t at) {
  return (at + SKERRY_RING_ALIGNMENT - 1) / SKERRY_RING_ALIGNMENT * SKERRY_RING_ALIGNMENT;
}

/* Copies what stands behind the document to where it is aligned. */
static const char* place_tensors(const char* from, uint64_t left, struct HttpAnswer* answer) {
  uint64_t room = 0;
  for (size_t i = 0; i < answer->output_count; ++i) {
    const uint64_t bytes = answer->outputs[i].bytes;
    if (bytes > left) return "the service's answer is shorter than it says";
    left -= bytes;
    room += aligned(bytes);
  }
  free(answer->tensors);
  answer->tensors = NULL;
  if (posix_memalign(&answer->tensors, SKERRY_RING_ALIGNMENT, room + SKERRY_RING_ALIGNMENT) != 0) {
    answer->tensors = NULL;
    return "there is no memory for the answer";
  }
  unsigned char* to = answer->tensors;
  for (size_t i = 0; i < answer->output_count; ++i) {
    SkerryClientTensor* output = &answer->outputs[i];
    memcpy(to, from, output->bytes);
    output->data = to;
    from += output->bytes;
    to += aligned(output->bytes);
  }
  return NULL;
}

const char* skerry_http_answer(char* body, const struct HttpHead* head, struct HttpAnswer* answer) {
  struct Json in = {body, body + head->json_bytes, 0};
  const char* key;
  const char* wrong = NULL;
  answer->version = answer->message = "";
  answer->output_count = 0;
  for (int n = 0; (key = skerry_json_member(&in, n)) != NULL && !wrong; ++n) {
    if (strcmp(key, "model_version") == 0) {
      answer->version = skerry_json_text(&in);
    } else if (strcmp(key, "error") == 0) {
      answer->message = skerry_json_text(&in);
    } else if (strcmp(key, "outputs") == 0) {
      for (int m = 0; !wrong && skerry_json_element(&in, m); ++m) {
        if (m == SKERRY_RING_MAX_TENSORS) return "the service's answer has too many outputs";
        wrong = read_output(&in, &answer->outputs[m],
                            answer->shapes + (size_t)m * SKERRY_RING_MAX_RANK);
        answer->output_count = (size_t)m + 1;
      }
    } else {
      skerry_json_skip(&in);
    }
  }
  if (!wrong && in.is_wrong) wrong = "the service's answer is no JSON document";
  if (!wrong) {
    wrong = place_tensors(body + head->json_bytes, head->body_bytes - head->json_bytes, answer);
  }
  if (wrong) answer->output_count = 0;
  return wrong;
}
