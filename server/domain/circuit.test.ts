import { describe, expect, test } from 'vitest';
import {
  type AttemptEnd,
  afterEnds,
  afterProbes,
  type Bucket,
  type Circuit,
  type CircuitState,
  countsOf,
  type Ends,
  type Verdict,
  verdictOf,
} from './circuit.ts';

const breaker = { failureRatio: 0.5, attemptsMin: 10, windowMs: 60_000, openMs: 1_000, probes: 2 };
const closed: Circuit = { state: 'CLOSED', buckets: [], openings: 0, probes: [], probesSucceeded: 0 };
const in_ = (state: CircuitState): Circuit => ({ ...closed, state });
const ends = (failed: number, passed: number, fatalCode: string | null = null): Ends => ({ failed, passed, fatalCode });
const nowMs = 1_000_000;

describe('the end of an attempt', () => {
  const error = (kind: 'TRANSIENT' | 'PERMANENT' | 'FATAL', code = 'X') => ({ kind, code });
  const table: readonly [string, Omit<AttemptEnd, 'nonRetryableCodes'>, Verdict | undefined][] = [
    ['a success', { event: 'succeeded', error: null }, 'passed'],
    ['a failure that is tried again', { event: 'retry_scheduled', error: error('TRANSIENT') }, 'failed'],
    ['a failure that was the last one', { event: 'failed', error: error('TRANSIENT') }, 'failed'],
    ['a lost worker', { event: 'lease_lost', error: error('TRANSIENT', 'WORKER_LOST') }, 'failed'],
    ['a passed run deadline', { event: 'failed', error: error('TRANSIENT', 'RUN_DEADLINE_EXCEEDED') }, 'failed'],
    ['an output that breaks the schema', { event: 'failed', error: error('PERMANENT', 'OUTPUT_INVALID') }, 'failed'],
    ['a permanent failure', { event: 'failed', error: error('PERMANENT') }, 'passed'],
    ['a code that is not retried', { event: 'failed', error: error('TRANSIENT', 'BAD_INPUT') }, 'passed'],
    ['a fatal failure', { event: 'failed', error: error('FATAL', 'BAD_INPUT') }, 'fatal'],
    ['a cancel', { event: 'cancelled', error: null }, undefined],
    ['a failure after a cancel', { event: 'cancelled', error: error('TRANSIENT') }, undefined],
    ['a release', { event: 'released', error: null }, undefined],
    ['a passed start deadline', { event: 'failed', error: error('TRANSIENT', 'START_DEADLINE_EXCEEDED') }, undefined],
    ['a passed total deadline', { event: 'failed', error: error('TRANSIENT', 'TOTAL_DEADLINE_EXCEEDED') }, undefined],
  ];
  test.each(table)('says of the type what %s means', (_, end, verdict) => {
    expect(verdictOf({ ...end, nonRetryableCodes: ['BAD_INPUT'] })).toBe(verdict);
  });
});

describe('a closed circuit', () => {
  const opens: readonly [string, Ends, typeof breaker, string][] = [
    ['at the ratio', ends(5, 5), breaker, '5 of 10 attempts failed within 60 s'],
    ['above it', ends(10, 0), breaker, '10 of 10 attempts failed within 60 s'],
    [
      'when all have to fail and do',
      ends(10, 0),
      { ...breaker, failureRatio: 1 },
      '10 of 10 attempts failed within 60 s',
    ],
    ['at a fatal failure', ends(0, 0, 'KEY_REVOKED'), breaker, 'an attempt failed fatally with KEY_REVOKED'],
    ['at a fatal failure that is one of many', ends(1, 99, 'Y'), breaker, 'an attempt failed fatally with Y'],
    [
      'at a fatal failure without a ratio',
      ends(0, 0, 'Z'),
      { ...breaker, failureRatio: 0 },
      'an attempt failed fatally with Z',
    ],
  ];
  test.each(opens)('opens %s', (_, news, by, reason) => {
    const next = afterEnds(closed, by, news, nowMs);
    expect(next).toEqual({ ...in_('OPEN'), openings: 1, reason, openMs: 1_000 });
  });

  const stays: readonly [string, Ends, typeof breaker][] = [
    ['below the ratio', ends(49, 51), breaker],
    ['with too few attempts', ends(9, 0), breaker],
    ['without a ratio', ends(1_000, 0), { ...breaker, failureRatio: 0 }],
    ['when not all have failed that have to', ends(99, 1), { ...breaker, failureRatio: 1 }],
  ];
  test.each(stays)('stays closed %s', (_, news, by) => {
    const next = afterEnds(closed, by, news, nowMs);
    const buckets = [{ atMs: nowMs, attempts: news.failed + news.passed, failures: news.failed }];
    expect(next).toEqual({ ...closed, buckets, reason: null, openMs: null });
  });

  test('counts over the window, in tenths of it, and forgets what is older', () => {
    let circuit = closed;
    const at = (ms: number, news: Ends) => {
      const next = afterEnds(circuit, breaker, news, ms);
      if (next === undefined) throw new Error('it was not counted');
      circuit = next;
      return next;
    };
    at(0, ends(4, 0));
    at(5_999, ends(1, 3));
    expect(circuit.buckets).toEqual<Bucket[]>([{ atMs: 0, attempts: 8, failures: 5 }]);
    at(6_000, ends(0, 1));
    expect(circuit.buckets).toHaveLength(2);
    expect(countsOf(circuit.buckets, breaker.windowMs, 6_000)).toEqual({ attempts: 9, failures: 5 });
    // The first tenth has left: of ten attempts only those since then count.
    expect(at(60_000, ends(1, 0)).state).toBe('CLOSED');
    expect(countsOf(circuit.buckets, breaker.windowMs, 60_000)).toEqual({ attempts: 2, failures: 1 });
    expect(countsOf(circuit.buckets, breaker.windowMs, 200_000)).toEqual({ attempts: 0, failures: 0 });
    expect(at(60_001, ends(8, 0))).toMatchObject({ state: 'OPEN', reason: '9 of 10 attempts failed within 60 s' });
  });

  test('keeps no more than eleven counts however long it goes on', () => {
    let circuit = closed;
    for (let ms = 0; ms < 600_000; ms += 100) circuit = afterEnds(circuit, breaker, ends(0, 1), ms) ?? circuit;
    expect(circuit.buckets.length).toBeLessThanOrEqual(11);
  });
});

describe('the end of an attempt that is no probe', () => {
  test.each(['OPEN', 'FORCED_OPEN', 'FORCED_CLOSED'] as const)('changes nothing when %s', (state) => {
    expect(afterEnds(in_(state), breaker, ends(100, 0, 'FATAL'), nowMs)).toBeUndefined();
  });

  test('changes nothing when half open, unless it is fatal', () => {
    const halfOpen = { ...in_('HALF_OPEN'), openings: 1 };
    expect(afterEnds(halfOpen, breaker, ends(100, 0), nowMs)).toBeUndefined();
    expect(afterEnds(halfOpen, breaker, ends(0, 0, 'X'), nowMs)).toMatchObject({ state: 'OPEN', openings: 2 });
  });
});

describe('a half-open circuit', () => {
  const probes = ['a', 'b'].map((leaseId) => ({ taskId: `task-${leaseId}`, attempt: 1, leaseId }));
  const [a, b] = probes as [Circuit['probes'][number], Circuit['probes'][number]];
  const halfOpen: Circuit = { ...in_('HALF_OPEN'), openings: 1, probes };
  const waits = { reason: null, openMs: null };
  const table: readonly [
    string,
    Circuit,
    [typeof a, Verdict | undefined][],
    Partial<ReturnType<typeof afterProbes>>,
  ][] = [
    [
      'waits for the rest',
      halfOpen,
      [[a, 'passed']],
      { state: 'HALF_OPEN', probes: [b], probesSucceeded: 1, ...waits },
    ],
    [
      'closes when all have succeeded',
      halfOpen,
      [
        [a, 'passed'],
        [b, 'passed'],
      ],
      { state: 'CLOSED', probes: [], openings: 0, reason: '2 of 2 probes succeeded', openMs: null },
    ],
    [
      'closes when the last one has succeeded',
      { ...halfOpen, probes: [b], probesSucceeded: 1 },
      [[b, 'passed']],
      { state: 'CLOSED', probes: [], openings: 0, probesSucceeded: 0 },
    ],
    [
      'opens again when one has failed, whatever the others did',
      halfOpen,
      [
        [a, 'passed'],
        [b, 'failed'],
      ],
      { state: 'OPEN', probes: [], probesSucceeded: 0, openings: 2, reason: 'the probe task-b failed', openMs: 2_000 },
    ],
    ['opens again when one has failed fatally', halfOpen, [[a, 'fatal']], { state: 'OPEN', openings: 2 }],
    [
      'gives the place of one without a verdict to another',
      halfOpen,
      [[a, undefined]],
      { state: 'HALF_OPEN', probes: [b], probesSucceeded: 0, ...waits },
    ],
  ];
  test.each(table)('%s', (_, circuit, ended, expected) => {
    const news = ended.map(([probe, verdict]) => ({ probe, verdict }));
    expect(afterProbes(circuit, breaker, news)).toMatchObject(expected);
  });

  test('stays open twice as long each time, up to sixteenfold, and anew once it was closed', () => {
    const times = [0, 1, 2, 3, 4, 5, 6].map((openings) => {
      const circuit = { ...halfOpen, openings };
      return afterProbes(circuit, breaker, [{ probe: a, verdict: 'failed' }]).openMs;
    });
    expect(times).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 16_000, 16_000]);
  });
});
