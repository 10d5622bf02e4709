import { fromJson, type JsonValue, type MessageInitShape } from '@bufbuild/protobuf';
import { ValueSchema } from '@bufbuild/protobuf/wkt';
import type { EventRuleSchema } from '@dstc/contract/dstc/v1/event_rule_pb';
import { EventRuleService } from '@dstc/contract/dstc/v1/event_rule_service_pb';
import { EventService } from '@dstc/contract/dstc/v1/event_service_pb';
import { TaskTypeService } from '@dstc/contract/dstc/v1/task_type_service_pb';
import { expectRefused } from '../services/refused.ts';
import { type DoorName, type Rig, startRig, type Who } from '../services/rig.ts';

const { applyTaskType } = TaskTypeService.method;

export type RuleInit = MessageInitShape<typeof EventRuleSchema>;

/** A coordinator with the types that rules are for here; input of `a.strict` must be a number. */
export async function startEventRig(): Promise<Rig> {
  const rig = await startRig();
  const taskTypes = [
    ...['a.plain', 'a.other', 'b.plain'].map((name) => ({ name })),
    { name: 'a.strict', inputSchema: { type: 'number' } },
    { name: 'a.plain', namespace: 'elsewhere' },
  ];
  for (const taskType of taskTypes) await rig.doors.gRPC.call(applyTaskType, { taskType }, rig.token('root'));
  return rig;
}

export function json(value: JsonValue) {
  return fromJson(ValueSchema, value);
}

export function data(value: JsonValue) {
  return { value: { case: 'json' as const, value: json(value) } };
}

/** Rules and events by one door, which share no name with those of the other one. */
export function byDoor(rig: () => Rig, doorName: DoorName) {
  const door = () => rig().doors[doorName];
  const type = (rest: string) => `${doorName}.${rest}`;
  return {
    door,
    type,
    name: (rest: string) => `${doorName === 'gRPC' ? 'grpc' : 'json'}.${rest}`,
    event: (rest: string, changes = {}) => ({ id: '1', source: '/s', type: type(rest), ...changes }),
    /** For tasks of `a.plain` if nothing else is said. */
    async apply(rule: RuleInit, who: Who = 'root') {
      const request = { rule: { taskType: 'a.plain', ...rule } as RuleInit };
      return (await door().call(EventRuleService.method.applyEventRule, request, rig().token(who))).rule;
    },
    async publish(event: object, who: Who = 'root') {
      return (await door().call(EventService.method.publishEvent, { event }, rig().token(who))).event;
    },
    refused: (call: () => Promise<unknown>, expected: Parameters<typeof expectRefused>[3]) =>
      expectRefused(rig(), doorName, call, expected),
  };
}
