from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class QuestRequest(_message.Message):
    __slots__ = ("quest_name",)
    QUEST_NAME_FIELD_NUMBER: _ClassVar[int]
    quest_name: str
    def __init__(self, quest_name: _Optional[str] = ...) -> None: ...

class QuestListRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class QuestResponse(_message.Message):
    __slots__ = ("quest_id", "name", "streak", "duplication", "auto_claim", "rewards")
    QUEST_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    STREAK_FIELD_NUMBER: _ClassVar[int]
    DUPLICATION_FIELD_NUMBER: _ClassVar[int]
    AUTO_CLAIM_FIELD_NUMBER: _ClassVar[int]
    REWARDS_FIELD_NUMBER: _ClassVar[int]
    quest_id: int
    name: str
    streak: int
    duplication: int
    auto_claim: bool
    rewards: Reward
    def __init__(self, quest_id: _Optional[int] = ..., name: _Optional[str] = ..., streak: _Optional[int] = ..., duplication: _Optional[int] = ..., auto_claim: _Optional[bool] = ..., rewards: _Optional[_Union[Reward, _Mapping]] = ...) -> None: ...

class QuestListResponse(_message.Message):
    __slots__ = ("quests",)
    QUESTS_FIELD_NUMBER: _ClassVar[int]
    quests: _containers.RepeatedCompositeFieldContainer[QuestResponse]
    def __init__(self, quests: _Optional[_Iterable[_Union[QuestResponse, _Mapping]]] = ...) -> None: ...

class Reward(_message.Message):
    __slots__ = ("reward_id", "reward_name", "reward_item", "reward_qty")
    REWARD_ID_FIELD_NUMBER: _ClassVar[int]
    REWARD_NAME_FIELD_NUMBER: _ClassVar[int]
    REWARD_ITEM_FIELD_NUMBER: _ClassVar[int]
    REWARD_QTY_FIELD_NUMBER: _ClassVar[int]
    reward_id: int
    reward_name: str
    reward_item: str
    reward_qty: int
    def __init__(self, reward_id: _Optional[int] = ..., reward_name: _Optional[str] = ..., reward_item: _Optional[str] = ..., reward_qty: _Optional[int] = ...) -> None: ...
