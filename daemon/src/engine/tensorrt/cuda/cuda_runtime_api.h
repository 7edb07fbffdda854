// TensorRT's headers take two opaque pointers from CUDA's. With these the daemon is built without CUDA's toolkit.
#pragma once

typedef struct CUevent_st* cudaEvent_t;
typedef struct CUstream_st* cudaStream_t;
