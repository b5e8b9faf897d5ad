/* An Edge TPU made of nothing: a delegate with TFLite's external interface that takes a whole graph over.

   The file CONTROL (a path, given when compiled) holds a number: of inferences that it still answers, every int8 output
   filled with 7; -1 where there is no device; -2 where to open it ends the process. TFLite's C structures are declared
   as far as they are used, in the order of tensorflow/lite/core/c/common.h. */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  int size;
  int data[];
} IntArray;

typedef struct {
  int type;
  void *data;
  IntArray *dims;
  struct {
    float scale;
    int32_t zero_point;
  } parameters;
  int allocation_type;
  size_t bytes;
  const void *allocation;
  const char *name;
  void *delegate;
  int buffer_handle;
  bool data_is_stale, is_variable;
  struct {
    int type;
    void *parameters;
  } quantization;
  void *sparsity;
  const IntArray *dims_signature;
} Tensor;

typedef struct {
  IntArray *inputs, *outputs;
} Node;

typedef struct Context Context;
typedef struct Delegate Delegate;

typedef struct {
  void *(*init)(Context *, const char *, size_t);
  void (*free)(Context *, void *);
  int (*prepare)(Context *, Node *);
  int (*invoke)(Context *, Node *);
  const char *(*profiling_string)(const Context *, const Node *);
  int32_t builtin_code;
  const char *custom_name;
  int version;
  void *external;
  void *async_kernel;
  uint64_t inplace_operator;
} Registration;

struct Context {
  size_t tensors_size;
  int (*get_execution_plan)(Context *, IntArray **);
  Tensor *tensors;
  void *impl;
  void *resize_tensor;
  void (*report_error)(Context *, const char *, ...);
  void *add_tensors;
  void *get_node_and_registration;
  int (*replace)(Context *, Registration, const IntArray *, Delegate *);
};

struct Delegate {
  void *data;
  int (*prepare)(Context *, Delegate *);
  void *from_handle, *to_handle, *free_handle;
  int64_t flags;
  void *opaque;
};

static int answers_left(void) {
  int left = -1;
  FILE *file = fopen(CONTROL, "r");
  if (file) {
    if (fscanf(file, "%d", &left) != 1) left = -1;
    fclose(file);
  }
  return left;
}

static void leave(int left) {
  FILE *file = fopen(CONTROL, "w");
  if (file) {
    fprintf(file, "%d", left);
    fclose(file);
  }
}

static int prepare_node(Context *context, Node *node) { return 0; }

static int invoke(Context *context, Node *node) {
  int left = answers_left();
  if (left <= 0) {
    context->report_error(context, "USB transfer error");
    return 1;
  }
  leave(left - 1);
  for (int i = 0; i < node->outputs->size; i++) {
    Tensor *output = &context->tensors[node->outputs->data[i]];
    memset(output->data, 7, output->bytes);
  }
  return 0;
}

static int prepare(Context *context, Delegate *delegate) {
  IntArray *plan;
  Registration registration = {0};
  if (context->get_execution_plan(context, &plan)) return 1;
  registration.prepare = prepare_node;
  registration.invoke = invoke;
  registration.custom_name = "edgetpu-double";
  registration.version = 1;
  return context->replace(context, registration, plan, delegate);
}

Delegate *tflite_plugin_create_delegate(char **keys, char **values, size_t count, void (*report)(const char *)) {
  Delegate *delegate;
  if (count != 1 || strcmp(keys[0], "device") || strcmp(values[0], "usb")) {
    report("expected device=usb");
    return NULL;
  }
  if (answers_left() == -2) abort(); /* as a library of another release may */
  if (answers_left() < 0) return NULL; /* without a word, as Google's library */
  delegate = calloc(1, sizeof *delegate);
  delegate->prepare = prepare;
  return delegate;
}

void tflite_plugin_destroy_delegate(Delegate *delegate) { free(delegate); }
