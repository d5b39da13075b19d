// A thread's part in a pass: threads share out tokens, heads or rows by their number and meet
// between phases. Who computes a value never changes it.
#pragma once

#include "model.hpp"
#include "pool.hpp"

namespace {

using rwkv::Activations;
using rwkv::Layer;
using rwkv::Matrix;
using rwkv::Model;
using rwkv::Pass;
using rwkv::Segment;
using rwkv::Team;
using rwkv::Workspace;

struct Range {
    int64_t first, last;
};

struct Worker {
    const Model& model;
    const Workspace& work;
    const Pass& pass;
    int thread;
    Team& team;
    int64_t width;

    Worker(const Model& m, const Pass& p, int number, Team& t)
        : model(m), work(m.work), pass(p), thread(number), team(t), width(m.sizes.width) {}

    Range share(int64_t count) const {
        int64_t n = team.count();
        return {count * thread / n, count * (thread + 1) / n};
    }

    float* scratch() const { return work.scratch[thread]; }

    void meet() const { team.barrier(); }
};

}  // namespace
