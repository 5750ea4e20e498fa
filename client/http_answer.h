/* What a service answers by HTTP: the head, and the document with the tensors behind it. It may be
 * anything. Inside of the library. */
#ifndef SKERRY_CLIENT_HTTP_ANSWER_H_
#define SKERRY_CLIENT_HTTP_ANSWER_H_

#include <skerry/infer_client.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { SKERRY_MAX_HTTP_HEAD_BYTES = 16384 };

struct HttpHead {
  int http;            /* 200, … */
  int status;          /* SKERRY_STATUS_… that it stands for */
  uint64_t body_bytes; /* 0 where the head says nothing */
  uint64_t json_bytes; /* of the body, before the tensors; all of it where the head says nothing */
  uint32_t retry_after_s;
  int is_last; /* the service closes the connection */
};

/* Bytes of the head that `bytes` begin with; 0: it goes on; -1: it is none, or one with chunks. */
int skerry_http_head(const char* bytes, size_t size, struct HttpHead* head);

/* Points into the body, and to `tensors`, which is freed and made anew. */
struct HttpAnswer {
  const char* version;
  const char* message;
  size_t output_count;
  void* tensors; /* the outputs' bytes, aligned */
  SkerryClientTensor outputs[SKERRY_RING_MAX_TENSORS];
  int64_t shapes[SKERRY_RING_MAX_TENSORS * SKERRY_RING_MAX_RANK];
};

/* `body` has head->body_bytes and is changed. NULL, or what is wrong. */
const char* skerry_http_answer(char* body, const struct HttpHead* head, struct HttpAnswer* answer);

/* The protocol's name of an element type, SKERRY_BOOL to SKERRY_BYTES. */
const char* skerry_type_name(uint32_t type);

#ifdef __cplusplus
}
#endif

#endif /* SKERRY_CLIENT_HTTP_ANSWER_H_ */
