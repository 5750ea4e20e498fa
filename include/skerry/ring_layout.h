/* Where what lies in the shared memory between skerry-infer and a client on the same machine, for
 * those who write a client of their own; docs/data/ring.md describes the whole of it. Programs that
 * want to ask a model include skerry/infer_client.h instead.
 *
 * Numbers are little-endian. Each field has one writer. */
#ifndef SKERRY_RING_LAYOUT_H_
#define SKERRY_RING_LAYOUT_H_

/* In the Upgrade header, and in the memory. A reader refuses another version. */
#define SKERRY_RING_PROTOCOL "skerry-ring/1"
#define SKERRY_RING_VERSION 1u
#define SKERRY_RING_MAGIC "SKRYRING" /* 8 bytes, without an end */

/* Bytes from the beginning. The first four are written once, before the client has the memory. */
enum {
  SKERRY_RING_AT_MAGIC = 0,
  SKERRY_RING_AT_VERSION = 8,         /* u32 */
  SKERRY_RING_AT_SLOTS = 12,          /* u32 */
  SKERRY_RING_AT_SLOT_BYTES = 16,     /* u32: of a slot's area */
  SKERRY_RING_AT_SERVER_SLEEPS = 64,  /* u32, the server's: 1, a byte on the socket wakes it */
  SKERRY_RING_AT_CLIENT_SLEEPS = 128, /* u32, the client's: 1, the same for it */
  SKERRY_RING_AT_SLOTS_BEGIN = 4096   /* the slots, one behind the other */
};

/* Bytes from the beginning of a slot. */
enum {
  SKERRY_SLOT_AT_ASKED = 0,         /* u32, the client's: other than before, a request is there */
  SKERRY_SLOT_AT_ASKED_BYTES = 4,   /* u32, the client's: of the request's head */
  SKERRY_SLOT_AT_ANSWERED = 64,     /* u32, the server's: the request of this number is answered */
  SKERRY_SLOT_AT_ANSWER_BYTES = 68, /* u32, the server's: of the answer's head */
  SKERRY_SLOT_AT_AREA = 128         /* request or answer: its head, then its tensors */
};

enum {
  SKERRY_RING_ALIGNMENT = 64,    /* of tensors in the area */
  SKERRY_RING_PAGE_BYTES = 4096, /* a slot, control words and area together, is whole pages */
  SKERRY_RING_MAX_SLOTS = 64,
  SKERRY_RING_MAX_HEAD_BYTES = 65536,
  SKERRY_RING_MAX_TENSORS = 256, /* of a request or an answer */
  SKERRY_RING_MAX_RANK = 32,
  SKERRY_RING_INFER = 1,                /* kind of a request */
  SKERRY_RING_REQUEST_FIXED_BYTES = 24, /* of its head, before the names */
  SKERRY_RING_ANSWER_FIXED_BYTES = 16,
  SKERRY_RING_TENSOR_FIXED_BYTES = 16
};

/* Why a request failed, as the answer's head says. Names as in the header Skerry-Error of HTTP. */
enum {
  SKERRY_STATUS_OK = 0,
  SKERRY_STATUS_INVALID_ARGUMENT = 1,
  SKERRY_STATUS_NOT_FOUND = 2,
  SKERRY_STATUS_ALREADY_EXISTS = 3,
  SKERRY_STATUS_PERMISSION_DENIED = 4,
  SKERRY_STATUS_FAILED_PRECONDITION = 5,
  SKERRY_STATUS_CORRUPT = 6,
  SKERRY_STATUS_UNSUPPORTED = 7,
  SKERRY_STATUS_RESOURCE_EXHAUSTED = 8, /* worth trying again: this and the next two */
  SKERRY_STATUS_UNAVAILABLE = 9,
  SKERRY_STATUS_TIMEOUT = 10,
  SKERRY_STATUS_CANCELLED = 11,
  SKERRY_STATUS_INTERNAL = 12,
  SKERRY_STATUS_UNAUTHENTICATED = 13
};

#endif /* SKERRY_RING_LAYOUT_H_ */
